"""From a row of logits to a candidate's next tokens, and to what its reader is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from services.inference_worker.backends.base import Backend, Sampled
from services.inference_worker.engine.delivery import Delivery
from services.inference_worker.engine.jobs import Candidate, Finish, Generated
from services.inference_worker.engine.meter import Meter
from services.inference_worker.engine.sequences import Sequences


class Drawing:
    """Belongs to the engine's thread."""

    def __init__(
        self,
        backend: Backend,
        sequences: Sequences,
        delivery: Delivery,
        meter: Meter,
        clock: Callable[[], float],
    ) -> None:
        self._backend = backend
        self._sequences = sequences
        self._delivery = delivery
        self._meter = meter
        self._clock = clock

    def verify(self, candidate: Candidate, row: int, draft: Sequence[int]) -> Finish | None:
        """Draws a token from `row`, and one more from the next row for each guess of `draft` that was right.

        What is in the cache beyond that is cut off again. Returns why the candidate is over, if it is. Raises
        Undrawable. Tokens from elsewhere, if the candidate has some, take the place of all this.
        """
        if candidate.drawn:
            assert not draft, "nothing is guessed before the first token"
            return self._replay(candidate)
        finish, accepted = self._draw(candidate, row), 0
        for guess in draft:
            if finish is not None or candidate.tokens[-1] != guess:
                break
            accepted += 1
            finish = self._draw(candidate, row + accepted)
        if draft:
            self._meter.drafted_tokens += len(draft)
            self._meter.accepted_tokens += accepted
            if accepted < len(draft):
                held = candidate.held
                self._sequences.cut(held, held.length - (len(draft) - accepted))
        return finish

    def cut_off(self, candidate: Candidate, finish: Finish) -> None:
        """Ends the candidate's text between two tokens."""
        self._tell(candidate, candidate.text.finish(), finish, None)

    def _draw(self, candidate: Candidate, row: int) -> Finish | None:
        mask = candidate.guide.mask() if candidate.guide is not None else None
        started = self._clock()
        sampled = candidate.sampler.sample(row, mask)
        self._meter.spend("sample", started)
        self._meter.generated_tokens += 1
        return self._take(candidate, sampled)

    def _replay(self, candidate: Candidate) -> Finish | None:
        """Takes what was drawn elsewhere, as if it had been drawn here. The prompt has just been computed, so
        its followers have it; what is taken is fed next, like more of a prompt."""
        drawn, candidate.drawn = candidate.drawn, ()
        candidate.sampler.replay(drawn)
        for sampled in drawn:
            if (finish := self._take(candidate, sampled)) is not None:
                return finish
        return None

    def _take(self, candidate: Candidate, sampled: Sampled) -> Finish | None:
        candidate.completion_tokens += 1
        candidate.logprob_sum += sampled.logprob
        finish: Finish | None = None
        if self._backend.is_end(sampled.token):
            text = candidate.text.finish()
            finish = Finish.STOP
        else:
            candidate.append(sampled.token)
            piece = self._backend.piece(sampled.token)
            if candidate.guide is not None:
                candidate.guide.accept(sampled.token, piece)
            text = candidate.text.feed(piece)
            if candidate.completion_tokens >= candidate.job.limit:
                text += candidate.text.finish()
                finish = Finish.LENGTH
            if candidate.text.stopped:
                finish = Finish.STOP
        self._tell(candidate, text, finish, sampled)
        return finish

    def _tell(self, candidate: Candidate, text: str, finish: Finish | None, sampled: Sampled | None) -> None:
        self._delivery.say(
            candidate.job,
            Generated(
                candidate.index, text, candidate.completion_tokens, candidate.logprob_sum, finish, sampled
            ),
        )

"""One request's way out: what the engine generates becomes structured events per candidate."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from services.common.chat import (
    Accepted,
    CandidateFinished,
    ChatEvent,
    ContentDelta,
    DrawnToken,
    DrawnTokens,
    FinishReason,
    PrefillProgress,
    ReasoningDelta,
    TokenLogprobs,
    ToolCallArguments,
    ToolCallEnded,
    ToolCallStarted,
    Usage,
)
from services.inference_worker.argument_logprobs import ArgumentLogprobs
from services.inference_worker.chat.machine import PushMachine
from services.inference_worker.engine.jobs import (
    Ended,
    Finish,
    Generated,
    Job,
    Output,
    Prefilled,
    Sink,
    Submission,
)
from services.inference_worker.engine.loop import Engine
from services.inference_worker.logprobs import ContentLogprobs
from services.inference_worker.outbox import Bell, Outbox


class ChatStream:
    """`start` it, iterate `events()` once, and `close()` it when nobody reads any more.

    Belongs to the event loop.
    """

    def __init__(
        self,
        engine: Engine,
        accepted: Accepted,
        machines: Sequence[PushMachine],
        forced: str,
        pending_limit: int,
        bell: Bell,
        logprobs: Sequence[ContentLogprobs] = (),
        tell_drawn: bool = False,
    ) -> None:
        """One machine per candidate. `forced`: the beginning of every answer, which the prompt contains.

        `logprobs`: one per candidate if they are to be told; `tell_drawn`: the tokens, too.
        A reader that leaves more than `pending_limit` outputs lying loses the request.
        """
        self._engine = engine
        self._accepted = accepted
        self._candidates = [
            _Answer(machine, forced, logprobs[index] if logprobs else None)
            for index, machine in enumerate(machines)
        ]
        self._tell_drawn = tell_drawn
        self._outbox = Outbox(pending_limit, bell)
        self._job: Job | None = None

    @property
    def sink(self) -> Sink:
        return self._outbox.push

    def start(self, submission: Submission) -> None:
        """Raises what `Engine.submit` raises."""
        self._job = self._engine.submit(submission)

    def close(self) -> None:
        """Frees what the request holds in the engine, within one step. Harmless when it is over."""
        if self._job is not None and not self._job.ended:
            self._engine.cancel(self._job)

    async def events(self) -> AsyncGenerator[ChatEvent, None]:
        """Accepted first, Usage last. Raises SwarmError when the engine gives the request up."""
        yield self._accepted
        while True:
            outputs = await self._outbox.take()
            ended = outputs.pop() if isinstance(outputs[-1], Ended) else None
            # All tokens before all that became of them: whoever has a piece of text, has its tokens.
            if self._tell_drawn:
                for told in drawn(outputs):
                    yield told
            events = [event for output in outputs for event in self._convert(output)]
            # More than one step's worth is here when the reader was slow: it gets fewer, longer pieces.
            for event in merged(events):
                yield event
            if isinstance(ended, Ended):
                if ended.error is not None:
                    raise ended.error
                yield self._usage(ended)
                return

    def _convert(self, output: Output) -> list[ChatEvent]:
        if isinstance(output, Generated):
            answer = self._candidates[output.candidate]
            events = answer.read(output)
            if answer.complete and output.finish is None and self._job is not None:
                self._engine.settle(self._job, output.candidate)
            return events
        if isinstance(output, Prefilled):
            return [PrefillProgress(output.done, output.total, output.cached)]
        return []

    def _usage(self, ended: Ended) -> Usage:
        return Usage(
            self._accepted.prompt_tokens,
            ended.cached_tokens,
            sum(answer.completion_tokens for answer in self._candidates),
            sum(answer.reasoning_tokens for answer in self._candidates),
        )


def drawn(outputs: Sequence[Output]) -> list[DrawnTokens]:
    """The tokens in `outputs`, candidate by candidate."""
    found: dict[int, list[DrawnToken]] = {}
    for output in outputs:
        if isinstance(output, Generated) and (sampled := output.sampled) is not None:
            top = tuple(DrawnToken(token, logprob) for token, logprob in sampled.top)
            found.setdefault(output.candidate, []).append(DrawnToken(sampled.token, sampled.logprob, top))
    return [DrawnTokens(candidate, tuple(tokens)) for candidate, tokens in found.items()]


def merged(events: Sequence[ChatEvent]) -> list[ChatEvent]:
    """The same events with neighbouring pieces of a candidate's text joined; others stand as they are.

    The order is kept within each candidate, not between candidates.
    """
    result: list[ChatEvent] = []
    newest: dict[int, int] = {}
    for event in events:
        if not isinstance(event, ContentDelta | ReasoningDelta | ToolCallArguments):
            if isinstance(event, ToolCallStarted | ToolCallEnded | CandidateFinished | TokenLogprobs):
                newest.pop(event.candidate, None)
            result.append(event)
            continue
        at = newest.get(event.candidate)
        joined = None if at is None else _joined(result[at], event)
        if at is None or joined is None:
            newest[event.candidate] = len(result)
            result.append(event)
        else:
            result[at] = joined
    return result


def _joined(first: ChatEvent, second: ChatEvent) -> ChatEvent | None:
    """Both in one, or None if they are not pieces of the same text."""
    match first, second:
        case ContentDelta(candidate, head), ContentDelta(_, tail):
            return ContentDelta(candidate, head + tail)
        case ReasoningDelta(candidate, head), ReasoningDelta(_, tail):
            return ReasoningDelta(candidate, head + tail)
        case ToolCallArguments(candidate, index, head), ToolCallArguments(_, other, tail) if index == other:
            return ToolCallArguments(candidate, index, head + tail)
    return None


class _Answer:
    """One candidate's text on its way through the push machine."""

    def __init__(self, machine: PushMachine, forced: str, logprobs: ContentLogprobs | None) -> None:
        self._machine = machine
        self._forced = forced
        self._logprobs = logprobs
        self._of_arguments = ArgumentLogprobs()
        self.completion_tokens = 0
        self.reasoning_tokens = 0

    @property
    def complete(self) -> bool:
        """Whatever comes now would be dropped."""
        return self._machine.done

    def read(self, output: Generated) -> list[ChatEvent]:
        events: list[ChatEvent] = []
        if self._forced:
            events += self._machine.feed(self._forced)
            self._forced = ""
        # The tokens up to the one that closes it are reasoning.
        if self._machine.reasoning_open:
            self.reasoning_tokens += output.completion_tokens - self.completion_tokens
        self.completion_tokens = output.completion_tokens
        events += self._machine.feed(output.text)
        reason: FinishReason | None = None
        if output.finish is not None:
            held, reason = self._machine.finish(cut_off=output.finish is Finish.LENGTH)
            events += held
        if output.sampled is not None:
            self._of_arguments.add(output.sampled.logprob, events)
        if self._logprobs is not None:
            events = self._logprobs.weave(output.sampled, events)
        if reason is not None:
            events.append(
                CandidateFinished(
                    output.candidate,
                    reason,
                    self.completion_tokens,
                    self.reasoning_tokens,
                    output.logprob_sum,
                    self._of_arguments.least(),
                )
            )
        return events

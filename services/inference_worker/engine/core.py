"""The engine without its thread: requests in, one decode step at a time, outputs to the sinks.

Everything here runs on one thread. Policy is asked of `scheduler` and `speculator`, the queue is kept by
`Admission`, KV is moved by `Sequences` and `Shelf`, tokens are drawn by `Drawing` and told by `Delivery`.
It is longer than other modules because one step is one story: plan, decode, advance or undo.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic

import structlog

from services.common.errors import Reason, SwarmError
from services.inference_worker.backends.base import (
    Backend,
    BackendFailure,
    Outcome,
    Slice,
    Undrawable,
)
from services.inference_worker.engine import scheduler
from services.inference_worker.engine.admission import Admission
from services.inference_worker.engine.delivery import Delivery
from services.inference_worker.engine.drawing import Drawing
from services.inference_worker.engine.jobs import (
    Candidate,
    Ended,
    Finish,
    Job,
    Prefilled,
    Submission,
)
from services.inference_worker.engine.meter import Meter
from services.inference_worker.engine.scheduler import Limits
from services.inference_worker.engine.sequences import Sequences
from services.inference_worker.engine.shelf import Shelf
from services.inference_worker.engine.speculator import Speculator
from services.inference_worker.engine.status import EngineStatus
from services.inference_worker.engine.stops import TextAssembler
from services.inference_worker.kv.store import KvStore

# A backend that refuses so many batches in a row is broken.
_MOST_REJECTED = 3
# Rows whose cost is measured before the start, the most telling first; each so often.
_CALIBRATED = (1, 8, 4, 16, 2, 20, 32, 3, 12, 64, 6, 24)
_REPEATS = 2
# Part of the time of running requests that saving state may take.
_SAVING_SHARE = 0.05

log = structlog.get_logger()


@dataclass(slots=True)
class _Fed:
    """What one candidate takes in one decode: `tokens` of its own, then guesses."""

    candidate: Candidate
    tokens: int
    pending: int
    draft: Sequence[int] = ()
    asked: bool = False
    """The speculator was asked for guesses, whether it had some or not."""

    @property
    def streams(self) -> bool:
        return self.pending == 1


class Core:
    def __init__(
        self,
        backend: Backend,
        limits: Limits,
        store: KvStore,
        speculator: Speculator | None = None,
        clock: Callable[[], float] = monotonic,
        on_ended: Callable[[Job], None] = lambda job: None,
        news: Callable[[], bool] = lambda: False,
    ) -> None:
        """`store` keeps states outside the cells; `speculator` None: one token per stream and step.

        `on_ended` hears of every job that is over, on the engine's thread. `news`: somebody wants something
        of the thread; a prefill does not begin before it is heard.
        """
        self._backend = backend
        self._limits = limits
        self._clock = clock
        self._on_ended = on_ended
        self._news = news
        self._store = store
        self._speculator = speculator
        self._meter = Meter(clock)
        self._chunks = scheduler.ChunkSizer(limits)
        self._sequences = Sequences(backend)
        self._shelf = Shelf(backend, self._sequences, store, clock)
        self._admission = Admission(self._sequences, self._shelf, limits, clock)
        self._running = self._admission.running
        self._jobs: dict[int, Job] = {}
        self._delivery = Delivery(limits, clock, self.cancel)
        self._drawing = Drawing(backend, self._sequences, self._delivery, self._meter, clock)
        self._rejected = 0
        self._credit = 0.0
        self._streaming = 0
        """Streams that run, whether the step feeds them or not."""
        self._spent = 0.0
        """Seconds since their last tokens."""
        self._steps = 0
        """Steps of prompts alone since then."""
        self._cramped = False
        """The last batch found no room: this one does without guesses."""
        self._outputs = limits.outputs or backend.capacity.outputs or backend.capacity.sequences
        self.prefilling: frozenset[int] = frozenset()
        """Orders of the jobs whose prompts the running decode works on; read by other threads."""

    # -- requests ----------------------------------------------------------------------------------

    def add(self, job: Job, submission: Submission) -> None:
        """Puts the job in the queue."""
        for index, spec in enumerate(submission.specs):
            sampler = self._backend.sampler(spec)
            sampler.observe(job.prompt)
            candidate = Candidate(
                job,
                (job.order, index),
                sampler,
                TextAssembler(submission.stops),
                submission.guide(index),
                job.prompt,
                self._clock(),
                drawn=submission.drawn[index] if submission.drawn else (),
            )
            job.candidates.append(candidate)
            self._admission.add(candidate)
        self._jobs[job.order] = job
        self._meter.prompt_tokens += len(job.prompt)

    def cancel(self, job: Job, error: SwarmError) -> None:
        """Takes the job out, whatever it is doing; its last output is Ended with `error`."""
        if job.ended:
            return
        # Those that wait come first: nothing is kept for them.
        for candidate in sorted(job.candidates, key=lambda each: each.sequence is not None):
            if not candidate.finished:
                self._close(candidate)
        self._admission.remove(lambda each: each.job is job)
        self._end(job, error)
        self._delivery.flush([job])

    def settle(self, job: Job, index: int) -> None:
        """Ends one candidate here; it counts as stopped."""
        candidate = job.candidates[index]
        if not candidate.finished:
            self._admission.remove(lambda each: each is candidate)
            heir = next(iter(self._followers(candidate)), None)
            if heir is not None:
                # It goes on with the prompt, for all who wait for it.
                self._sequences.copy(candidate.held, heir.held, candidate.held.length)
            self._cut_off(candidate, Finish.STOP)

    def save_all(self) -> None:
        """Saves every idle prefix: the process is about to end."""
        for sequence in self._sequences.idle():
            self._shelf.enqueue(sequence)
        self._shelf.save(None, lambda: False)

    def status(self) -> EngineStatus:
        return EngineStatus.of(self._backend, self._sequences, self._shelf, self._meter, self._admission)

    def calibrate(self, seconds: float) -> None:
        """Measures what steps of so many rows cost, for about `seconds`, before there are any requests.

        Rows are not alike (kernels work on four or eight at once), and what is never tried is never known.
        """
        if seconds <= 0:
            return
        self._backend.calibrate()
        most = min(self._outputs, self._limits.batch, self._sequences.cells_total)
        end = self._clock() + seconds
        for rows in (count for count in _CALIBRATED if count <= most):
            for _ in range(_REPEATS):
                if self._clock() >= end:
                    return
                started = self._clock()
                outcome = self._backend.decode([Slice(0, 0, [0] * rows, rows)])
                took = self._clock() - started
                self._backend.drop(0)
                if outcome is not Outcome.DONE:
                    return
                if rows <= self._backend.capacity.sequences:
                    self._chunks.observe(rows, 0, took)
                if self._speculator is not None:
                    self._speculator.calibrate(rows, took)

    # -- one step ----------------------------------------------------------------------------------

    def step(self) -> bool:
        """Admits, moves state, decodes one batch, samples and hands over. False: there was nothing to do.

        Nothing is decoded when there is news.
        """
        with self._meter.step():
            self._expire()
            # Those that no step hands over: they wait for room again.
            self._hand_over(late=self._limits.pace)
            self._admission.admit()
            moved = self._move()
            if moved is None:
                return True
            return self._decode(moved)

    def _expire(self) -> None:
        now = self._clock()
        late = [job for job in self._jobs.values() if job.deadline is not None and job.deadline <= now]
        for job in late:
            self.cancel(job, SwarmError(Reason.DEADLINE_EXCEEDED, "the request's time was over"))

    def _move(self) -> float | None:
        """Brings state back and saves it, a slice at a time.

        Gives the seconds it took; None: nothing else is to be done.
        """
        started = self._clock()
        coming = [each for each in self._running.values() if each.held.restoring]
        saving = self._shelf.saving and (not self._running or self._credit > 0)
        if coming or saving:
            allowed = self._moving_time()
            coming.sort(key=lambda each: (-each.job.rank, each.key))
            for candidate in coming if allowed is None else coming[:1]:
                self._shelf.restore(candidate.held, allowed, self._news)
            if saving and not self._running:
                self._shelf.save(None, self._news)
            elif saving:
                rest = self._credit
                if allowed is not None:
                    rest = min(rest, allowed - (self._clock() - started))
                self._credit -= self._shelf.save(rest, self._news) if rest > 0 else 0.0
        if self._running and self._sequences.idle_tokens:
            self._shelf.relieve()
        elif not self._running and self._shelf.saving:
            self._meter.spend("move", started)
            return None
        return self._meter.spend("move", started) if coming or saving else 0.0

    def _moving_time(self) -> float | None:
        """Seconds that moving state may take in this step; None: nobody waits for the next token."""
        pending = [each.pending for each in self._running.values() if not each.held.restoring]
        streams = sum(each == 1 for each in pending)
        allowed = self._chunks.seconds(streams, max(len(self._running), self._limits.slots))
        # Prompts need their part of the step, too.
        return allowed / 2 if allowed is not None and streams < len(pending) else allowed

    def _decode(self, spent: float) -> bool:
        """One decode, before which so many seconds were `spent` on others."""
        self._spent += spent
        batch = self._plan()
        if not batch:
            return bool(self._running)
        slices = [self._slice(fed) for fed in batch]
        prompts = sum(fed.tokens for fed in batch if not fed.streams)
        effort = sum(self._effort(fed) for fed in batch if not fed.streams)
        self.prefilling = frozenset(fed.candidate.key[0] for fed in batch if not fed.streams)
        if prompts and self._news():
            # Whoever cancelled before the line above could not see that a decode had to be interrupted.
            self.prefilling = frozenset()
            return True
        started = self._clock()
        outcome = self._backend.decode(slices)
        seconds = self._meter.spend("decode", started)
        self.prefilling = frozenset()
        if outcome is not Outcome.DONE:
            self._undo(outcome, batch)
            return True
        self._rejected = 0
        self._credit = min(1.0, self._credit + _SAVING_SHARE * seconds)
        streams = sum(fed.streams for fed in batch)
        drafted = sum(len(fed.draft) for fed in batch)
        stalled = self._streaming and not streams
        self._spent, self._steps = (self._spent + seconds, self._steps + 1) if stalled else (0.0, 0)
        self._chunks.observe(streams, effort, seconds, drafted)
        if self._speculator is not None and any(fed.asked for fed in batch):
            self._speculator.observe(prompts + streams + drafted, seconds)
        generated = self._meter.generated_tokens
        self._advance(batch, slices)
        generated = self._meter.generated_tokens - generated
        self._meter.decoded(prompts, generated, seconds)
        return True

    def _effort(self, fed: _Fed) -> float:
        if not self._limits.chunk:
            return fed.tokens
        return scheduler.effort(fed.tokens, fed.candidate.held.length)

    def _slice(self, fed: _Fed) -> Slice:
        held = fed.candidate.held
        tokens: Sequence[int] = fed.candidate.upcoming(fed.tokens)
        if fed.draft:
            tokens = [*tokens, *fed.draft]
        outputs = 1 + len(fed.draft) if fed.tokens == fed.pending else 0
        return Slice(held.id, held.length, tokens, outputs)

    def _plan(self) -> list[_Fed]:
        now = self._clock()
        while True:
            feeding = [
                scheduler.Feeding(
                    each.key,
                    each.pending,
                    each.job.arrived,
                    max(each.job.rank, self._limits.rank(each.job.priority, now - each.job.arrived)),
                    self._next_point(each),
                    each.held.length,
                )
                for each in self._running.values()
                if not each.held.restoring and self._admission.waits_for(each) is None
            ]
            shares = scheduler.plan(feeding, self._chunks, self._limits, now, self._spent, self._steps)
            tokens = sum(share.tokens for share in shares)
            if self._sequences.make_room(tokens):
                break
            if not self._admission.suspend_last():
                raise BackendFailure("one candidate alone does not fit the KV cells")
        pending = {each.key: each.pending for each in feeding}
        batch = [_Fed(self._running[share.key], share.tokens, pending[share.key]) for share in shares]
        self._streaming = sum(left == 1 for left in pending.values())
        # Prompts that are left out because nobody knows how long the streams' steps are: this one tells.
        alone = all(fed.streams for fed in batch) and self._streaming < len(pending)
        measures = alone and not self._chunks.knows(self._streaming)
        if self._speculator is not None and not measures and not self._cramped:
            self._draft(batch, tokens)
        self._cramped = False
        return batch

    def _draft(self, batch: list[_Fed], tokens: int) -> None:
        """Adds guesses to streams: as many as pay, and as there is room for."""
        assert self._speculator is not None
        room = min(
            self._limits.batch - tokens,
            self._outputs - len(batch),
            self._sequences.cells_free - tokens,
        )
        rollback = self._backend.capacity.rollback
        wanted = {
            fed.candidate.key: (
                fed.candidate.tokens,
                min(
                    fed.candidate.job.limit - fed.candidate.completion_tokens - 1,
                    room if rollback is None else min(room, rollback),
                ),
            )
            for fed in batch
            if fed.streams and fed.candidate.answered
        }
        if not wanted:
            return
        others = sum(fed.tokens for fed in batch if fed.candidate.key not in wanted)
        drafts = self._speculator.drafts(wanted, others, max(0, room))
        for fed in batch:
            fed.asked = fed.candidate.key in wanted
            fed.draft = drafts.get(fed.candidate.key, ())

    def _next_point(self, candidate: Candidate) -> int:
        """Tokens up to where a prefill must pause to be saved; 0: it need not."""
        length = candidate.held.length
        point = self._shelf.next_point(length, candidate.job.stable, len(candidate.job.prompt))
        return max(0, point - length)

    # -- after the decode --------------------------------------------------------------------------

    def _advance(self, batch: Sequence[_Fed], slices: Sequence[Slice]) -> None:
        row = 0
        # Before anybody ends: then another leads, and siblings that were fed for themselves seem to wait.
        followers = {fed.candidate.key: self._followers(fed.candidate) for fed in batch}
        for fed, piece in zip(batch, slices, strict=True):
            candidate, job = fed.candidate, fed.candidate.job
            last, row = row + fed.tokens - 1, row + len(piece.tokens)
            pause, known = self._next_point(candidate), len(candidate.tokens)
            self._sequences.extend(candidate.held, piece.tokens)
            if fed.tokens == pause and not (fed.streams and candidate.answered):
                self._shelf.snapshot(candidate.held)
            if not candidate.answered and candidate is job.lead:
                self._delivery.say(job, Prefilled(candidate.held.length, len(job.prompt), job.cached_tokens))
            if not piece.outputs:
                continue
            siblings = followers[candidate.key]
            for sibling in siblings:
                self._sequences.copy(candidate.held, sibling.held, candidate.held.length)
            if not fed.streams:
                # Half an hour of generating must not be lost with a process that dies meanwhile.
                self._shelf.enqueue(candidate.held)
            self._answer(candidate, last, fed.draft)
            if self._speculator is not None and fed.asked and not candidate.finished:
                said = len(candidate.tokens) - known
                self._speculator.settle(candidate.key, candidate.tokens[-said:])
            for sibling in siblings:
                if not sibling.finished:
                    self._answer(sibling, last, ())
        self._hand_over()

    def _followers(self, candidate: Candidate) -> list[Candidate]:
        """Siblings with an empty sequence that wait for the prompt that this one computes."""
        if candidate.answered or candidate.job.width == 1:
            return []
        return [
            each
            for each in candidate.job.candidates
            if each.sequence is not None and self._admission.waits_for(each) is candidate
        ]

    def _answer(self, candidate: Candidate, row: int, draft: Sequence[int]) -> None:
        try:
            if self._drawing.verify(candidate, row, draft) is not None:
                self._finish(candidate)
        except Undrawable as error:
            log.exception("no token can be drawn", order=candidate.job.order)
            for each in candidate.job.candidates:
                if each.sequence is not None:
                    # Not kept as a prefix: what spoiled the numbers may be in it.
                    self._sequences.drop(each.sequence)
            self.cancel(candidate.job, SwarmError(Reason.INTERNAL, f"the answer broke off: {error}"))

    def _cut_off(self, candidate: Candidate, finish: Finish) -> None:
        """Ends a candidate between two tokens."""
        self._drawing.cut_off(candidate, finish)
        self._finish(candidate)
        self._delivery.flush([candidate.job])

    def _finish(self, candidate: Candidate) -> None:
        self._close(candidate)
        if all(each.finished for each in candidate.job.candidates):
            self._end(candidate.job, None)

    def _close(self, candidate: Candidate) -> None:
        """Frees what the candidate holds.

        The leader's tokens stay as a prefix for the next turn; any other's only for siblings that still wait.
        """
        candidate.finished = True
        candidate.sampler.close()
        self._running.pop(candidate.key, None)
        if self._speculator is not None:
            self._speculator.forget(candidate.key)
        if candidate.sequence is not None:
            needed = any(not each.finished and each.sequence is None for each in candidate.job.candidates)
            self._shelf.release(candidate.sequence, keep=candidate.index == 0 or needed)
            candidate.sequence = None

    def _end(self, job: Job, error: SwarmError | None) -> None:
        job.ended = True
        self._jobs.pop(job.order, None)
        self._delivery.say(job, Ended(job.cached_tokens, error))
        self._on_ended(job)

    def _hand_over(self, late: float = 0.0) -> None:
        """`late`: only what should have been given so many seconds ago."""
        started = self._clock()
        if due := self._delivery.due(late):
            self._delivery.flush(due)
            self._meter.spend("emit", started)

    # -- decodes that did not succeed ----------------------------------------------------------------

    def _undo(self, outcome: Outcome, batch: Sequence[_Fed]) -> None:
        candidates = [fed.candidate for fed in batch]
        if outcome is Outcome.INTERRUPTED:
            # Whole micro-batches may be in the cache already: back to what the books say.
            for candidate in candidates:
                self._sequences.roll_back(candidate.held)
        elif outcome is Outcome.NO_ROOM and any(fed.draft for fed in batch):
            self._cramped = True
        elif outcome is Outcome.NO_ROOM:
            self._squeeze(candidates)
        else:
            self._rejected += 1
            log.error("the backend rejected a batch", requests=len(candidates), in_a_row=self._rejected)
            if self._rejected >= _MOST_REJECTED:
                raise BackendFailure(f"{self._rejected} batches in a row were rejected")
            error = SwarmError(Reason.INTERNAL, "the engine could not process this request")
            for candidate in candidates:
                if candidate.sequence is not None:
                    # Not kept as a prefix: whatever made the batch inconsistent may be in it.
                    self._sequences.drop(candidate.sequence)
                self.cancel(candidate.job, error)

    def _squeeze(self, candidates: list[Candidate]) -> None:
        """The cache is full earlier than the books say (its cells are not all alike to it)."""
        if self._sequences.evict_idle():
            return
        if self._admission.suspend_last():
            return
        (candidate,) = candidates
        log.warning("no cells left for the only candidate", key=candidate.key, known=len(candidate.tokens))
        if not candidate.answered:
            self.cancel(candidate.job, SwarmError(Reason.INTERNAL, "the prompt does not fit the KV cells"))
            return
        self._cut_off(candidate, Finish.LENGTH)

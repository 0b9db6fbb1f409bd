"""The engine without its thread: requests in, one decode step at a time, outputs to the sinks.

Everything here runs on one thread. Policy is asked of `scheduler`, KV is moved by `Sequences`.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable
from time import monotonic

import structlog

from services.common.errors import Reason, SwarmError
from services.inference_worker.backends.base import Backend, BackendFailure, Outcome, Slice
from services.inference_worker.engine import scheduler
from services.inference_worker.engine.jobs import (
    Candidate,
    Ended,
    EngineStatus,
    Finish,
    Generated,
    Job,
    Prefilled,
    Submission,
)
from services.inference_worker.engine.scheduler import Key, Limits
from services.inference_worker.engine.sequences import Sequences, tokens_of
from services.inference_worker.engine.stops import TextAssembler

# A backend that refuses so many batches in a row is broken.
_MOST_REJECTED = 3

log = structlog.get_logger()


class Core:
    def __init__(
        self,
        backend: Backend,
        limits: Limits,
        clock: Callable[[], float] = monotonic,
        on_ended: Callable[[Job], None] = lambda job: None,
        news: Callable[[], bool] = lambda: False,
    ) -> None:
        """`on_ended` hears of every job that is over, on the engine's thread.

        `news`: somebody wants something of the thread; a prefill does not begin before it is heard.
        """
        self._backend = backend
        self._limits = limits
        self._clock = clock
        self._on_ended = on_ended
        self._news = news
        self._chunks = scheduler.ChunkSizer(limits)
        self._sequences = Sequences(backend)
        self._jobs: dict[int, Job] = {}
        self._running: dict[Key, Candidate] = {}
        self._waiting: list[Candidate] = []
        self._rejected = 0
        self._prompt_tokens = self._cached_tokens = self._generated_tokens = 0
        self.prefilling: frozenset[int] = frozenset()
        """Orders of the jobs whose prompts the running decode works on; read by other threads."""

    # -- requests ----------------------------------------------------------------------------------

    def add(self, job: Job, submission: Submission) -> None:
        """Puts the job at the end of the queue."""
        for index, spec in enumerate(submission.specs):
            candidate = Candidate(
                job, (job.order, index), self._backend.sampler(spec), TextAssembler(submission.stops)
            )
            job.candidates.append(candidate)
            self._waiting.append(candidate)
        self._jobs[job.order] = job
        self._prompt_tokens += len(job.prompt)

    def cancel(self, job: Job, error: SwarmError) -> None:
        """Takes the job out, whatever it is doing; its last output is Ended with `error`."""
        if job.ended:
            return
        # Those that wait come first: nothing is kept for them.
        for candidate in sorted(job.candidates, key=lambda each: each.sequence is not None):
            if not candidate.finished:
                self._close(candidate)
        self._waiting = [each for each in self._waiting if each.job is not job]
        self._end(job, error)
        self._flush([job])

    def settle(self, job: Job, index: int) -> None:
        """Ends one candidate here; it counts as stopped."""
        candidate = job.candidates[index]
        if not candidate.finished:
            self._waiting = [each for each in self._waiting if each is not candidate]
            self._cut_off(candidate, Finish.STOP)

    def status(self) -> EngineStatus:
        return EngineStatus(
            sequences_total=self._backend.capacity.sequences,
            sequences_busy=self._sequences.busy,
            cells_total=self._sequences.cells_total,
            cells_used=self._sequences.cells_busy(),
            prompt_tokens=self._prompt_tokens,
            cached_tokens=self._cached_tokens,
            generated_tokens=self._generated_tokens,
        )

    # -- one step ----------------------------------------------------------------------------------

    def step(self) -> bool:
        """Admits, decodes one batch, samples and hands over. False: there was nothing to do.

        Nothing is decoded when there is news.
        """
        self._admit()
        shares = self._plan()
        if not shares:
            return False
        batch = [(self._running[share.key], share.tokens) for share in shares]
        slices = [
            Slice(
                candidate.held.id,
                candidate.held.length,
                candidate.upcoming(tokens),
                outputs=int(tokens == candidate.pending),
            )
            for candidate, tokens in batch
        ]
        prompts = [(candidate, tokens) for candidate, tokens in batch if candidate.pending > 1]
        self.prefilling = frozenset(candidate.key[0] for candidate, _ in prompts)
        if prompts and self._news():
            # Whoever cancelled before the line above could not see that a decode had to be interrupted.
            self.prefilling = frozenset()
            return True
        started = self._clock()
        outcome = self._backend.decode(slices)
        seconds = self._clock() - started
        self.prefilling = frozenset()
        if outcome is Outcome.DONE:
            self._rejected = 0
            self._chunks.observe(sum(tokens for _, tokens in prompts), seconds)
            self._advance(batch, slices)
        else:
            self._undo(outcome, [candidate for candidate, _ in batch])
        return True

    def _admit(self) -> None:
        if not self._waiting:
            return
        admitted = scheduler.admit(
            (self._wish(candidate) for candidate in self._waiting),
            self._sequences.free,
            self._cells_available(),
            len(self._running),
            self._limits,
            self._clock(),
        )
        keys = set(admitted)
        waiting, self._waiting = self._waiting, []
        for candidate in waiting:
            if candidate.key in keys:
                self._place(candidate)
            else:
                candidate.job.passed_over = True
                self._waiting.append(candidate)

    def _cells_available(self) -> int:
        """Cells that nobody holds or is about to fill with a prompt that is already being computed."""
        promised = sum(
            candidate.pending
            for candidate in self._running.values()
            if self._leader_in_prefill(candidate) is None
        )
        return self._sequences.cells_total - self._sequences.cells_busy() - promised

    def _wish(self, candidate: Candidate) -> scheduler.Waiting:
        leader = candidate.job.candidates[0]
        if candidate is leader or candidate.out or leader.finished:
            return scheduler.Waiting(candidate.key, candidate.known, candidate.job.arrived)
        follows = leader.key if leader.sequence is None else None
        return scheduler.Waiting(candidate.key, 1, candidate.job.arrived, follows)

    def _place(self, candidate: Candidate) -> None:
        job = candidate.job
        if self._leader_in_prefill(candidate) is not None:
            # The prompt is being computed; it is copied when it is there.
            candidate.sequence = self._sequences.take_empty()
        else:
            known = job.prompt + candidate.out if candidate.out else job.prompt
            candidate.sequence = self._sequences.place(known, keep_donor=candidate.index > 0)
        if job.cached_tokens is None:
            job.cached_tokens = candidate.sequence.length
            self._cached_tokens += job.cached_tokens
        job.started = True
        self._running[candidate.key] = candidate

    def _leader_in_prefill(self, candidate: Candidate) -> Candidate | None:
        """The sibling whose prompt this candidate waits for, if it does."""
        leader = candidate.job.candidates[0]
        waits = candidate is not leader and leader.sequence is not None and not (candidate.out or leader.out)
        return leader if waits else None

    def _plan(self) -> list[scheduler.Share]:
        now = self._clock()
        while True:
            feeding = [
                scheduler.Feeding(candidate.key, candidate.pending, candidate.job.arrived)
                for candidate in self._running.values()
                if self._leader_in_prefill(candidate) is None
            ]
            shares = scheduler.plan(feeding, self._chunks, self._limits, now)
            if self._sequences.make_room(sum(share.tokens for share in shares)):
                return shares
            self._suspend_youngest()

    def _suspend_youngest(self) -> None:
        """Frees the youngest candidate's cells; what it has generated is kept and fed again later."""
        key = scheduler.victim(self._running)
        if key is None:
            raise BackendFailure("one candidate alone does not fit the KV cells")
        self._suspend(self._running[key])

    def _suspend(self, candidate: Candidate) -> None:
        log.debug("candidate suspended", key=candidate.key, tokens=candidate.held.length)
        del self._running[candidate.key]
        self._sequences.release(candidate.held, keep=False)
        candidate.sequence = None
        bisect.insort(self._waiting, candidate, key=lambda each: each.key)

    # -- after the decode --------------------------------------------------------------------------

    def _advance(self, batch: list[tuple[Candidate, int]], slices: list[Slice]) -> None:
        row = -1
        jobs: dict[int, Job] = {}
        for (candidate, tokens), fed in zip(batch, slices, strict=True):
            job = candidate.job
            row += tokens
            self._sequences.extend(candidate.held, fed.tokens)
            if candidate.index == 0 and not candidate.out:
                job.outbox.append(Prefilled(candidate.held.length, len(job.prompt), job.cached_tokens or 0))
                jobs[job.order] = job
            if not fed.outputs:
                continue
            jobs[job.order] = job
            siblings = [
                each
                for each in job.candidates
                if each.sequence is not None and self._leader_in_prefill(each) is candidate
            ]
            for sibling in siblings:
                self._sequences.copy(candidate.held, sibling.held, candidate.held.length)
            for each in (candidate, *siblings):
                self._draw(each, row)
        self._flush(list(jobs.values()))

    def _draw(self, candidate: Candidate, row: int) -> None:
        sampled = candidate.sampler.sample(row)
        candidate.completion_tokens += 1
        candidate.logprob_sum += sampled.logprob
        self._generated_tokens += 1
        finish: Finish | None = None
        if self._backend.is_end(sampled.token):
            text = candidate.text.finish()
            finish = Finish.STOP
        else:
            candidate.out.append(sampled.token)
            text = candidate.text.feed(self._backend.piece(sampled.token))
            if candidate.completion_tokens >= candidate.job.limit:
                text += candidate.text.finish()
                finish = Finish.LENGTH
            if candidate.text.stopped:
                finish = Finish.STOP
        self._tell(candidate, text, finish)

    def _cut_off(self, candidate: Candidate, finish: Finish) -> None:
        """Ends a candidate between two tokens."""
        self._tell(candidate, candidate.text.finish(), finish)
        self._flush([candidate.job])

    def _tell(self, candidate: Candidate, text: str, finish: Finish | None) -> None:
        job = candidate.job
        job.outbox.append(
            Generated(candidate.index, text, candidate.completion_tokens, candidate.logprob_sum, finish)
        )
        if finish is not None:
            self._close(candidate)
            if all(each.finished for each in job.candidates):
                self._end(job, None)

    def _close(self, candidate: Candidate) -> None:
        """Frees what the candidate holds.

        The leader's tokens stay as a prefix for the next turn; any other's only for siblings that still wait.
        """
        candidate.finished = True
        candidate.sampler.close()
        self._running.pop(candidate.key, None)
        if candidate.sequence is not None:
            needed = any(not each.finished and each.sequence is None for each in candidate.job.candidates)
            self._sequences.release(candidate.sequence, keep=candidate.index == 0 or needed)
            candidate.sequence = None

    def _end(self, job: Job, error: SwarmError | None) -> None:
        job.ended = True
        self._jobs.pop(job.order, None)
        job.outbox.append(Ended(job.cached_tokens or 0, error))
        self._on_ended(job)

    def _flush(self, jobs: list[Job]) -> None:
        for job in jobs:
            outputs, job.outbox = job.outbox, []
            if not outputs:
                continue
            try:
                kept_up = job.sink(outputs)
            except Exception:
                log.exception("a request's sink failed, it is cancelled", order=job.order)
                self.cancel(job, SwarmError(Reason.INTERNAL, "the answer could not be handed over"))
                continue
            if not kept_up and not job.ended:
                log.warning("a reader does not keep up, its request is cancelled", order=job.order)
                self.cancel(job, SwarmError(Reason.CANCELLED, "the answer was not read fast enough"))

    # -- decodes that did not succeed ----------------------------------------------------------------

    def _undo(self, outcome: Outcome, candidates: list[Candidate]) -> None:
        if outcome is Outcome.INTERRUPTED:
            # Whole micro-batches may be in the cache already: back to what the books say.
            for candidate in candidates:
                self._sequences.roll_back(candidate.held)
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
        if len(self._running) > 1:
            self._suspend_youngest()
            return
        (candidate,) = candidates
        log.warning("no cells left for the only candidate", key=candidate.key, known=candidate.known)
        if not candidate.out:
            self.cancel(candidate.job, SwarmError(Reason.INTERNAL, "the prompt does not fit the KV cells"))
            return
        self._cut_off(candidate, Finish.LENGTH)


def job_of(submission: Submission, order: int, limit: int, now: float) -> Job:
    """A job for `submission` that may generate `limit` tokens per candidate."""
    prompt = tokens_of(submission.prompt)
    return Job(order, prompt, len(submission.specs), limit, submission.sink, now)

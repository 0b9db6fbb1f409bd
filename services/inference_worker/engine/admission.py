"""The queue: who waits, who is let in, and who makes way for somebody who matters more."""

from __future__ import annotations

from collections.abc import Callable, Collection
from math import inf

import structlog

from services.inference_worker.engine import scheduler
from services.inference_worker.engine.jobs import Candidate, Job
from services.inference_worker.engine.scheduler import Key, Limits
from services.inference_worker.engine.sequences import Sequences
from services.inference_worker.engine.shelf import Shelf

# Seconds between two looks at who has waited for how long.
_AGEING_INTERVAL = 0.5

log = structlog.get_logger()


class Admission:
    """Belongs to the engine's thread. `running` are the candidates that have a sequence."""

    def __init__(
        self, sequences: Sequences, shelf: Shelf, limits: Limits, clock: Callable[[], float]
    ) -> None:
        self._sequences = sequences
        self._shelf = shelf
        self._limits = limits
        self._clock = clock
        self._waiting: list[Candidate] = []
        self._aged = -inf
        self.running: dict[Key, Candidate] = {}
        self.suspensions = 0

    def add(self, candidate: Candidate) -> None:
        self._waiting.append(candidate)

    def remove(self, unwanted: Callable[[Candidate], bool]) -> None:
        """Takes candidates out of the queue."""
        self._waiting = [each for each in self._waiting if not unwanted(each)]

    def admit(self) -> None:
        """Gives sequences to those whose turn it is; running ones of a lower rank make way."""
        if not self._waiting:
            return
        self._age()
        while self._waiting and (self._sequences.free or self._outranked()):
            wishes = [self._wish(candidate) for candidate in self._waiting]
            admitted = scheduler.admit(
                wishes,
                self._sequences.free,
                self._cells_available(),
                len(self.running),
                self._limits,
                self._clock(),
            )
            waiting = {candidate.key: candidate for candidate in self._waiting}
            # In this order: a leader before those who wait for its prompt.
            chosen = [waiting.pop(key) for key in admitted]
            self._waiting = list(waiting.values())
            for candidate in chosen:
                candidate.waited += self._clock() - candidate.since
                self._place(candidate)
            if not self._make_way():
                break
        for candidate in self._waiting:
            candidate.job.passed_over = True

    def _outranked(self) -> bool:
        """Somebody who waits matters more than somebody who runs."""
        lowest = min((each.job.rank for each in self.running.values()), default=0)
        return any(each.job.rank > lowest for each in self._waiting)

    def _age(self) -> None:
        """Waiting raises the rank of a job as a whole, or its candidates would displace one another."""
        now = self._clock()
        if now - self._aged < _AGEING_INTERVAL:
            return
        self._aged = now
        for candidate in self._waiting:
            job = candidate.job
            job.rank = max(
                job.rank, self._limits.rank(job.priority, candidate.waited + now - candidate.since)
            )

    def _make_way(self) -> bool:
        """Suspends running candidates for the first in the queue, if it matters more and then gets in."""
        if not self._outranked():
            return False
        wishes = [self._wish(candidate) for candidate in self._waiting]
        first = next((wish for wish in scheduler.in_order(wishes) if wish.follows is None), None)
        if first is None:
            return False
        leaving: list[Key] = []
        while not self._fits(first, leaving):
            key = scheduler.displaced(first, [each for each in self._ranks() if each[1] not in leaving])
            if key is None:
                return False
            leaving.append(key)
        for key in leaving[:-1]:
            # The others may be enough, but nobody stays who depends on one that goes.
            without = [each for each in leaving if each != key]
            depends = any(each[0] == key[0] and each < key for each in without)
            if not depends and self._fits(first, without):
                leaving = without
        for key in leaving:
            self.suspend(self.running[key])
        return bool(leaving)

    def _fits(self, wish: scheduler.Waiting, without: Collection[Key]) -> bool:
        """Whether `wish` would be admitted if those `without` did not run."""
        others = [each for key, each in self.running.items() if key not in without]
        if self._sequences.free + len(without) == 0:
            return False
        return not others or bool(
            scheduler.admit(
                [wish], 1, self._cells_available(others), len(others), self._limits, self._clock()
            )
        )

    def suspend_last(self) -> bool:
        """Frees the cells of the candidate that matters least. False: there is only one."""
        key = scheduler.victim(self._ranks())
        if key is None:
            return False
        self.suspend(self.running[key])
        return True

    def suspend(self, candidate: Candidate) -> None:
        """Back into the queue; what it has generated is kept, its state is saved and comes back later."""
        log.debug("candidate suspended", key=candidate.key, tokens=candidate.held.length)
        self.suspensions += 1
        del self.running[candidate.key]
        self._shelf.suspend(candidate.held)
        candidate.sequence = None
        candidate.since = self._clock()
        self._waiting.append(candidate)

    def waits_for(self, candidate: Candidate) -> Candidate | None:
        """The sibling whose prompt this running candidate waits for, if it does."""
        if candidate.answered:
            return None
        held, lead = candidate.sequence, candidate.job.lead
        if held is not None and (held.length or held.restoring):
            # It began when there was nobody to wait for.
            return None
        waits = candidate is not lead and lead.sequence is not None and not lead.answered
        return lead if waits else None

    def _ranks(self) -> list[tuple[int, Key]]:
        return [(each.job.rank, key) for key, each in self.running.items()]

    def _cells_available(self, running: Collection[Candidate] | None = None) -> int:
        """Cells that `running` (default: all that run) neither hold nor are about to fill with a prompt."""
        running = self.running.values() if running is None else running
        promised = sum(candidate.pending for candidate in running if self.waits_for(candidate) is None)
        held = self._sequences.cells_held(candidate.held for candidate in running)
        return self._sequences.cells_total - held - promised

    def _wish(self, candidate: Candidate) -> scheduler.Waiting:
        job, lead = candidate.job, candidate.job.lead
        if candidate is lead or candidate.answered:
            return scheduler.Waiting(candidate.key, len(candidate.tokens), job.arrived, None, job.rank)
        follows = lead.key if lead.sequence is None else None
        return scheduler.Waiting(candidate.key, 1, job.arrived, follows, job.rank)

    def _place(self, candidate: Candidate) -> None:
        job = candidate.job
        if self.waits_for(candidate) is not None:
            # The prompt is being computed; it is copied when it is there.
            candidate.sequence = self._sequences.take_empty()
            candidate.sequence.owner = job.owner
        else:
            candidate.sequence = self._shelf.place(
                candidate.tokens,
                job.owner,
                keep_donor=candidate.index > 0,
                on_tokens=None if job.placed else lambda tokens: _count(job, tokens),
            )
            job.placed = True
        job.started = True
        self.running[candidate.key] = candidate


def _count(job: Job, tokens: int) -> None:
    """`tokens` of the job's prompt need not be computed."""
    job.cached_tokens += tokens

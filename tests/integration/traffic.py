"""Random requests for the engine's core: sessions, widths, cancels, deadlines, stops, pressure. Seeded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from services.common.errors import Reason, SwarmError
from services.inference_worker.backends.base import SamplerSpec
from services.inference_worker.engine.jobs import Finish
from services.inference_worker.engine.scheduler import Priority
from services.inference_worker.kv.eviction import Owner, Rank
from tests.integration.engine_driver import Driver, Request

CANCELLED = SwarmError(Reason.CANCELLED, "the client has left")
_WIDTHS = (1, 1, 1, 1, 1, 1, 2, 2, 3, 4, 5, 8)
_PAIRS = tuple(one + other for one in "aeiou" for other in "lmnr")


@dataclass
class Counts:
    """How often what happened: a soak in which something never happens says nothing about it."""

    whole: int = 0
    stopped: int = 0
    cancelled: int = 0
    late: int = 0
    unread: int = 0
    settled: int = 0
    candidates: int = 0
    interrupted: int = 0


@dataclass
class Traffic:
    """`context`: most tokens of prompt and answer. `open`: requests at a time.

    `check` sees each request and its specs when it has ended.
    """

    driver: Driver
    context: int
    seed: int = 1
    open: int = 12
    check: Callable[[Request, Sequence[SamplerSpec]], None] = lambda request, specs: None
    counts: Counts = field(default_factory=Counts)

    def __post_init__(self) -> None:
        self._random = Random(self.seed)
        self._live: list[tuple[Request, tuple[SamplerSpec, ...]]] = []
        self._sessions: list[list[int]] = [self._letters(40) for _ in range(6)]
        # What every conversation of one client begins with.
        self._system = self._letters(90)

    def run(self, requests: int) -> None:
        """Sends so many requests and waits until all have ended; steps, disturbs and checks on the way."""
        random, driver = self._random, self.driver
        sent = 0
        while sent < requests or self._live:
            if sent < requests and len(self._live) < random.randint(1, self.open):
                self._send()
                sent += 1
            if random.random() < 0.05 and self._live:
                self._disturb()
            disturbed = random.random() < 0.02
            if disturbed:
                # Somebody cancels in another thread just now.
                driver.backend.interrupt(True)
                self.counts.interrupted += 1
            driver.news = random.random() < 0.1
            driver.step()
            if disturbed:
                driver.backend.interrupt(False)
            if random.random() < 0.05:
                driver.check_books()
            self._collect()
        driver.news = False
        driver.run()
        assert driver.ended == driver._order

    def _letters(self, count: int) -> list[int]:
        return [self._random.randrange(ord("a"), ord("z") + 1) for _ in range(count)]

    def _send(self) -> None:
        random = self._random
        session = random.randrange(len(self._sessions))
        prompt = self._prompt(session)
        limit = min(random.choice((1, 4, 12, 30, 60)), self.context - len(prompt))
        width = random.choice(_WIDTHS)
        specs = tuple(
            SamplerSpec(temperature=random.choice((0.0, 1.0)), seed=random.randrange(1000))
            for _ in range(width)
        )
        priority = random.choice(list(Priority))
        deadline = self.driver.now + random.uniform(0, 2) if random.random() < 0.08 else None
        request = self.driver.submit(
            prompt,
            specs,
            limit,
            priority=priority,
            owner=Owner(f"session {session}", Rank(priority)),
            deadline=deadline,
            stops=tuple(random.sample(_PAIRS, 2)) if random.random() < 0.2 else (),
            stable=random.choice((0, min(len(prompt) - 1, 60))),
        )
        self.counts.candidates += width
        self._live.append((request, specs))

    def _prompt(self, session: int) -> list[int]:
        """A next turn, a new conversation, an edited one, or something short beside them."""
        random, longest = self._random, self.context - 8
        history = self._sessions[session]
        kind = random.random()
        if kind < 0.25 or len(history) > longest - 60:
            history = [*self._system, *self._letters(random.randint(1, 80))]
        elif kind < 0.35:
            return self._letters(random.randint(1, 30))
        elif kind < 0.45:
            history = [*history[: random.randint(1, len(history))], *self._letters(10)]
        else:
            history = [*history, *self._letters(random.randint(1, 40))]
        self._sessions[session] = history = history[:longest]
        return history

    def _disturb(self) -> None:
        random, core = self._random, self.driver.core
        request, _ = random.choice(self._live)
        assert request.job is not None
        kind = random.random()
        if kind < 0.5:
            core.cancel(request.job, CANCELLED)
            self.counts.cancelled += 1
        elif kind < 0.9:
            core.settle(request.job, random.randrange(request.width))
            self.counts.settled += 1
        else:
            request.keeps_up = False
            self.counts.unread += 1

    def _collect(self) -> None:
        running = []
        for request, specs in self._live:
            if not request.ends:
                running.append((request, specs))
                continue
            request.check()
            self.check(request, specs)
            error = request.ended.error
            if error is None:
                self.counts.whole += 1
                self.counts.stopped += any(
                    each.finish is Finish.STOP
                    for index in range(request.width)
                    for each in request.of(index)[-1:]
                )
                self._remember(request)
            elif error.reason is Reason.DEADLINE_EXCEEDED:
                self.counts.late += 1
            else:
                assert error.reason is Reason.CANCELLED, error
            assert request.job is not None
            assert all(candidate.finished for candidate in request.job.candidates)
        self._live = running

    def _remember(self, request: Request) -> None:
        """The conversation goes on with what was said."""
        for number, history in enumerate(self._sessions):
            if history is request.prompt:
                said = [token for token in request.said() if token < 256]
                self._sessions[number] = [*history, *said][: self.context - 8]

"""What is kept of past decisions."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from services.common.chat import Accepted, ContentDelta
from services.consensus.events import Ballots, DecideEvent, Heartbeat, Spoken
from services.consensus.history import History

BALLOTS = Ballots("majority", 2, True, 1, (), 9)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def decided(clock: Clock, *more: DecideEvent) -> AsyncGenerator[DecideEvent, None]:
    yield Heartbeat("worker")
    yield Spoken(0, Accepted("tiny", 1, 10, "Zeus"))
    clock.now += 2.5
    for event in more:
        yield event


async def test_a_decision_is_kept_with_its_model_and_time() -> None:
    clock = Clock()
    history = History(clock)
    events = [
        event
        async for event in history.noting(decided(clock, BALLOTS, Spoken(0, ContentDelta(0, "x"))), "r1")
    ]
    assert len(events) == 4
    (found,) = history.latest()
    assert (found.request_id, found.model, found.asked_unix, found.seconds) == ("r1", "tiny", 100.0, 2.5)
    assert found.ballots is BALLOTS


async def test_what_was_not_decided_is_not_kept() -> None:
    clock = Clock()
    history = History(clock)
    assert [event async for event in history.noting(decided(clock), "r1")]
    assert history.latest() == []


async def test_the_newest_come_first_and_the_oldest_go() -> None:
    clock = Clock()
    history = History(clock, kept=3)
    for number in range(5):
        assert [event async for event in history.noting(decided(clock, BALLOTS), str(number))]
    assert [each.request_id for each in history.latest()] == ["4", "3", "2"]
    assert [each.request_id for each in history.latest(2)] == ["4", "3"]


async def test_leaving_early_closes_what_is_read() -> None:
    clock = Clock()
    source = decided(clock, BALLOTS)
    events = History(clock).noting(source, "r")
    await anext(events)
    await events.aclose()
    assert [event async for event in source] == []

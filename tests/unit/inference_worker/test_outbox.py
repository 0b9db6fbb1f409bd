"""The hand-over from the engine's thread to the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from services.inference_worker.engine.jobs import Ended, Generated
from services.inference_worker.outbox import Bell, Outbox


@pytest.fixture
async def bell() -> AsyncIterator[Bell]:
    bell = Bell()
    yield bell
    bell.close()


def token(number: int) -> Generated:
    return Generated(0, str(number), number, 0.0)


async def test_what_several_steps_push_is_taken_at_once_and_in_order(bell: Bell) -> None:
    outbox = Outbox(100, bell)
    assert outbox.push([token(1), token(2)])
    assert outbox.push([token(3)])
    assert await outbox.take() == [token(1), token(2), token(3)]


async def test_a_waiting_reader_is_woken_from_another_thread(bell: Bell) -> None:
    outbox = Outbox(100, bell)
    reader = asyncio.ensure_future(outbox.take())
    await asyncio.sleep(0)
    threading.Thread(target=outbox.push, args=([token(1)],)).start()
    async with asyncio.timeout(5):
        assert await reader == [token(1)]


async def test_nothing_is_lost_between_a_busy_thread_and_the_reader(bell: Bell) -> None:
    outbox = Outbox(1_000_000, bell)

    def produce() -> None:
        for number in range(5_000):
            outbox.push([token(number)])
        outbox.push([Ended(0)])

    thread = threading.Thread(target=produce)
    thread.start()
    taken: list[object] = []
    async with asyncio.timeout(20):
        while not taken or not isinstance(taken[-1], Ended):
            taken += await outbox.take()
    thread.join()
    assert taken == [*(token(number) for number in range(5_000)), Ended(0)]


async def test_an_overflow_is_told_and_only_the_end_gets_through(bell: Bell) -> None:
    outbox = Outbox(2, bell)
    assert outbox.push([token(1), token(2)])
    assert not outbox.push([token(3)])
    assert not outbox.push([token(4)])
    assert not outbox.push([token(5), Ended(7)])
    assert await outbox.take() == [token(1), token(2), token(3), Ended(7)]


async def test_a_bell_wakes_every_reader_however_often_it_was_rung() -> None:
    bell = Bell()
    outboxes = [Outbox(100, bell) for _ in range(50)]
    readers = [asyncio.ensure_future(outbox.take()) for outbox in outboxes]
    await asyncio.sleep(0)

    def push() -> None:
        for outbox in outboxes:
            outbox.push([token(1)])

    thread = threading.Thread(target=push)
    thread.start()
    async with asyncio.timeout(5):
        assert await asyncio.gather(*readers) == [[token(1)]] * 50
    thread.join()
    bell.close()

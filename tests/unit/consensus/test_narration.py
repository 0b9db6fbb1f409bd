"""Straight-line work as a stream with heartbeats."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from services.common.chat import ContentDelta
from services.consensus.events import Heartbeat, Spoken
from services.consensus.narration import Say, narrate


def word(text: str) -> Spoken:
    return Spoken(0, ContentDelta(0, text))


async def test_it_says_what_the_work_says_and_ends_with_it() -> None:
    async def work(say: Say) -> None:
        for number in range(200):
            await say(word(str(number)))

    said = [event async for event in narrate(work, 60.0, lambda: "x")]
    assert said == [word(str(number)) for number in range(200)]


async def test_an_error_comes_after_what_was_said_before_it() -> None:
    async def work(say: Say) -> None:
        await say(word("a"))
        raise ValueError("broken")

    async with aclosing(narrate(work, 60.0, lambda: "x")) as events:
        assert await anext(events) == word("a")
        with pytest.raises(ValueError, match="broken"):
            await anext(events)


async def test_heartbeats_come_in_silence_but_not_before_the_first_word() -> None:
    first, second = asyncio.Event(), asyncio.Event()

    async def work(say: Say) -> None:
        await first.wait()
        await say(word("a"))
        await second.wait()

    async with aclosing(narrate(work, 0.02, lambda: "the tool")) as events:
        waiting = asyncio.ensure_future(anext(events))
        done, _ = await asyncio.wait({waiting}, timeout=0.1)
        assert not done
        first.set()
        assert await waiting == word("a")
        assert await anext(events) == Heartbeat("the tool")
        assert await anext(events) == Heartbeat("the tool")
        second.set()
        assert [event async for event in events if not isinstance(event, Heartbeat)] == []


async def test_leaving_cancels_the_work() -> None:
    cancelled = asyncio.Event()

    async def work(say: Say) -> None:
        await say(word("a"))
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with aclosing(narrate(work, 60.0, lambda: "x")) as events:
        assert await anext(events) == word("a")
    assert cancelled.is_set()

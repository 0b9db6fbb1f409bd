from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import pytest

from services.common.chat import Tool, ToolCall
from services.common.errors import Reason, SwarmError
from services.consensus.once import ATTEMPTS, execute_once
from services.consensus.ports import ToolOutcome

CALL = ToolCall("c1", "bash", '{"command": "ls"}')
DONE = ToolOutcome("done")


class Script:
    """A tool server that does what the list says, one entry an attempt."""

    def __init__(self, *steps: ToolOutcome | Reason, back: bool = True) -> None:
        self.steps = list(steps)
        self.is_back = back
        self.keys: list[str] = []
        self.timeouts: list[float] = []
        self.waits: list[float] = []

    @asynccontextmanager
    async def in_use(self) -> AsyncGenerator[None, None]:
        yield

    async def tools(self, timeout: float) -> Sequence[Tool]:
        return ()

    async def execute(self, session_id: str, call: ToolCall, timeout: float, key: str = "") -> ToolOutcome:
        assert (session_id, call) == ("s", CALL)
        self.keys.append(key)
        self.timeouts.append(timeout)
        step = self.steps.pop(0)
        if isinstance(step, Reason):
            raise SwarmError(step, "it broke", retry_after=2.0)
        return step

    async def back(self, timeout: float) -> bool:
        self.waits.append(timeout)
        return self.is_back


async def once(server: Script, seconds: float = 100.0, wait: float = 30.0) -> tuple[ToolOutcome, int]:
    """The outcome, and how often a lost reply was told."""
    told = 0

    async def lost() -> None:
        nonlocal told
        told += 1

    deadline = asyncio.get_running_loop().time() + seconds
    return await execute_once(server, "s", CALL, "k", deadline, wait, lost), told


async def test_an_answer_is_asked_for_once() -> None:
    server = Script(DONE)
    assert await once(server) == (DONE, 0)
    assert server.keys == ["k"]
    assert 99 < server.timeouts[0] <= 100


@pytest.mark.parametrize("reason", [Reason.TOOL_SERVER_UNAVAILABLE, Reason.CANCELLED, Reason.INTERNAL])
async def test_a_lost_reply_is_asked_for_with_the_same_key(reason: Reason) -> None:
    server = Script(reason, reason, DONE)
    assert await once(server) == (DONE, 2)
    assert server.keys == ["k"] * 3
    assert server.waits == [30.0, 30.0]


@pytest.mark.parametrize("reason", [Reason.TOOL_NOT_FOUND, Reason.INVALID_FIELD, Reason.JOURNAL_UNAVAILABLE])
async def test_a_refusal_is_no_lost_reply(reason: Reason) -> None:
    server = Script(reason)
    with pytest.raises(SwarmError) as caught:
        await once(server)
    assert (caught.value.reason, caught.value.message) == (reason, "it broke")


def unknown(error: SwarmError) -> bool:
    return "took effect is unknown" in error.message and 'bash {"command": "ls"}. it broke' in error.message


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        (Reason.TOOL_SERVER_UNAVAILABLE, Reason.TOOL_SERVER_UNAVAILABLE),
        (Reason.CANCELLED, Reason.TOOL_SERVER_UNAVAILABLE),
        (Reason.INTERNAL, Reason.INTERNAL),
    ],
)
async def test_attempts_are_bounded_and_then_it_is_unknown(reason: Reason, told: Reason) -> None:
    server = Script(*[reason] * ATTEMPTS)
    with pytest.raises(SwarmError) as caught:
        await once(server)
    assert caught.value.reason is told
    assert unknown(caught.value)
    assert len(server.waits) == ATTEMPTS - 1


async def test_one_that_does_not_come_back_leaves_it_unknown() -> None:
    server = Script(Reason.TOOL_SERVER_UNAVAILABLE, back=False)
    with pytest.raises(SwarmError) as caught:
        await once(server, seconds=5.0)
    assert caught.value.reason is Reason.TOOL_SERVER_UNAVAILABLE
    assert unknown(caught.value)
    assert server.waits[0] <= 5.0


async def test_when_time_is_up_it_is_unknown_too() -> None:
    server = Script(Reason.DEADLINE_EXCEEDED)
    with pytest.raises(SwarmError) as caught:
        await once(server)
    assert caught.value.reason is Reason.DEADLINE_EXCEEDED
    assert unknown(caught.value)
    assert server.waits == []

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from services.common.chat import ToolCall
from services.common.errors import Reason, SwarmError
from services.tool_server.executor import execute
from services.tool_server.outcome import Outcome
from services.tool_server.sessions import Session, Sessions
from services.tool_server.tools.base import Arguments, Run
from services.tool_server.tools.registry import Registry


class Probe:
    """Does what the call's `act` says."""

    name = "probe"
    description = "A tool for tests."
    parameters: Mapping[str, Any] = {
        "type": "object",
        "properties": {"act": {"type": "string"}},
        "required": ["act"],
        "additionalProperties": False,
    }

    def __init__(self) -> None:
        self.cancelled = asyncio.Event()

    async def run(self, arguments: Arguments, run: Run) -> Outcome:
        run.on_output("one")
        if arguments["act"] == "fail":
            raise SwarmError(Reason.PATH_OUTSIDE_ROOT, "no")
        if arguments["act"] == "bug":
            raise ZeroDivisionError
        if arguments["act"] == "wait":
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled.set()
        run.on_output("two")
        return Outcome("end", exit_code=0)


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Sessions(tmp_path, None, None).open("s")


async def _events(session: Session, name: str, arguments: str) -> list[str | Outcome]:
    call = ToolCall("c1", name, arguments)
    return [event async for event in execute(Registry([Probe()]), session, call, 5)]


async def test_output_then_one_outcome(session: Session) -> None:
    assert await _events(session, "probe", '{"act": "go"}') == ["one", "two", Outcome("end", exit_code=0)]


@pytest.mark.parametrize(
    ("name", "arguments", "reason", "events"),
    [
        ("probe", '{"act": "fail"}', Reason.PATH_OUTSIDE_ROOT, 2),
        ("probe", "{}", Reason.INVALID_FIELD, 1),
        ("probe", "{", Reason.INVALID_FIELD, 1),
        ("other", "{}", Reason.TOOL_NOT_FOUND, 1),
    ],
)
async def test_failures_are_outcomes(
    session: Session, name: str, arguments: str, reason: Reason, events: int
) -> None:
    got = await _events(session, name, arguments)
    assert len(got) == events
    assert isinstance(got[-1], Outcome)
    assert got[-1].reason == reason
    assert got[-1].content.startswith("Error: ")


async def test_a_defect_is_an_exception_and_not_a_hang(session: Session) -> None:
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(_events(session, "probe", '{"act": "bug"}'), 5)


async def test_closing_ends_the_tool(session: Session) -> None:
    probe = Probe()
    call = ToolCall("c1", "probe", '{"act": "wait"}')
    async with aclosing(execute(Registry([probe]), session, call, 5)) as events:
        assert await anext(events) == "one"
        assert not probe.cancelled.is_set()
    assert probe.cancelled.is_set()

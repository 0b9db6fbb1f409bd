from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from services.common.chat import ToolCall
from services.common.errors import Reason, SwarmError
from services.tool_server.journal import Journal, Known
from services.tool_server.outcome import Outcome
from services.tool_server.runs import LONGEST_KEY, STOPPED, UNKNOWN, Runs
from services.tool_server.sessions import Sessions
from services.tool_server.tools.base import Arguments, Run
from services.tool_server.tools.registry import Registry

TIMEOUT = 5.0


class Counter:
    """Counts its runs, which wait for `go`."""

    name = "count"
    description = "A tool for tests."
    parameters: Mapping[str, Any] = {"type": "object", "properties": {"fail": {"type": "string"}}}

    def __init__(self) -> None:
        self.runs = 0
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def run(self, arguments: Arguments, run: Run) -> Outcome:
        self.runs += 1
        run.on_output("one ")
        self.begun.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        if arguments.get("fail") == "typed":
            raise SwarmError(Reason.TOOL_FAILED, "no")
        if arguments.get("fail") == "bug":
            raise ZeroDivisionError
        run.on_output("two")
        return Outcome("one two", exit_code=0)


CALL = ToolCall("c1", "count", "{}")
DONE = Outcome("one two", exit_code=0)
REPLAY = Outcome("one two", exit_code=0, replayed=True)


class Place:
    """A home with sessions and a journal; `runs` is one life of a tool server in it."""

    def __init__(self, home: Path) -> None:
        self.path = home / "calls.sqlite"
        self.sessions = Sessions(home / "sessions", None, None)
        self.tool = Counter()

    @asynccontextmanager
    async def runs(self) -> AsyncIterator[Runs]:
        runs = Runs(Registry([self.tool]), Journal(self.path, time.time))
        try:
            yield runs
        finally:
            await asyncio.wait_for(runs.close(), TIMEOUT)

    async def events(
        self, runs: Runs, key: str = "k", call: ToolCall = CALL, session: str = "s"
    ) -> list[str | Outcome]:
        async with asyncio.timeout(TIMEOUT):
            running = runs.execute(key, self.sessions.open(session), call, 5)
            return [event async for event in running]


@pytest.fixture
async def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def test_a_key_runs_once_and_then_gives_its_outcome(place: Place) -> None:
    place.tool.go.set()
    async with place.runs() as runs:
        assert await place.events(runs) == ["one ", "two", DONE]
        assert await place.events(runs) == [REPLAY]
        assert await place.events(runs, key="another") == ["one ", "two", DONE]
    async with place.runs() as runs:
        assert await place.events(runs) == [REPLAY]
    assert place.tool.runs == 2


async def test_a_failure_is_an_outcome_too(place: Place) -> None:
    place.tool.go.set()
    call = ToolCall("c1", "count", '{"fail": "typed"}')
    async with place.runs() as runs:
        *_, first = await place.events(runs, call=call)
        (second,) = await place.events(runs, call=call)
    assert isinstance(first, Outcome)
    assert isinstance(second, Outcome)
    assert first.reason == second.reason == Reason.TOOL_FAILED
    assert (first.replayed, second.replayed) == (False, True)
    assert place.tool.runs == 1


async def test_who_asks_while_it_runs_joins_it(place: Place) -> None:
    async with place.runs() as runs:
        first = asyncio.create_task(place.events(runs))
        await asyncio.wait_for(place.tool.begun.wait(), TIMEOUT)
        # Another id and less time left: the same call all the same.
        second = runs.execute("k", place.sessions.open("s"), ToolCall("c2", "count", "{}"), 1)
        assert await anext(second) == "one "
        place.tool.go.set()
        assert await first == ["one ", "two", DONE]
        assert [event async for event in second] == ["two", DONE]
    assert place.tool.runs == 1


async def test_it_goes_on_for_the_one_who_stays(place: Place) -> None:
    async with place.runs() as runs:
        session = place.sessions.open("s")
        async with aclosing(runs.execute("k", session, CALL, 5)) as leaving:
            await anext(leaving)
            staying = asyncio.create_task(place.events(runs))
            await asyncio.sleep(0)
        assert not place.tool.cancelled.is_set()
        place.tool.go.set()
        assert await staying == ["one ", "two", DONE]


async def test_the_last_who_leaves_ends_it_and_that_is_its_outcome(place: Place) -> None:
    async with place.runs() as runs:
        async with aclosing(runs.execute("k", place.sessions.open("s"), CALL, 5)) as leaving:
            await anext(leaving)
        assert place.tool.cancelled.is_set()
        (told,) = await place.events(runs)
    assert isinstance(told, Outcome)
    assert (told.content, told.reason, told.replayed) == (STOPPED.content, Reason.CANCELLED, True)
    assert place.tool.runs == 1


async def test_one_who_leaves_while_the_intent_is_written_starts_nothing(place: Place) -> None:
    async with place.runs() as runs:
        asking = asyncio.create_task(place.events(runs))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait({asking}, timeout=TIMEOUT)
        assert asking.cancelled()
        (told,) = await place.events(runs)
    assert isinstance(told, Outcome)
    assert "not started" in told.content
    assert place.tool.runs == 0


async def test_closing_ends_what_runs_and_writes_it_down(place: Place) -> None:
    async with place.runs() as runs:
        asking = asyncio.create_task(place.events(runs))
        await asyncio.wait_for(place.tool.begun.wait(), TIMEOUT)
    assert (await asking)[-1] == STOPPED
    async with place.runs() as runs:
        (told,) = await place.events(runs)
    assert isinstance(told, Outcome)
    assert told.reason == Reason.CANCELLED


async def test_an_intent_without_an_outcome_is_unknown_for_ever(place: Place) -> None:
    place.tool.go.set()
    bug = ToolCall("c1", "count", '{"fail": "bug"}')
    async with place.runs() as runs:
        with pytest.raises(ZeroDivisionError):
            await place.events(runs, call=bug)
        assert await place.events(runs, call=bug) == [UNKNOWN]
    for _ in range(2):
        async with place.runs() as runs:
            assert await place.events(runs, call=bug) == [UNKNOWN]
    assert place.tool.runs == 1


@pytest.mark.parametrize(
    ("call", "session"),
    [
        (ToolCall("c1", "count", '{"fail": ""}'), "s"),
        (ToolCall("c1", "other", "{}"), "s"),
        (CALL, "another"),
    ],
    ids=["arguments", "tool", "session"],
)
async def test_a_key_stands_for_one_call(place: Place, call: ToolCall, session: str) -> None:
    async def refused(runs: Runs) -> None:
        with pytest.raises(SwarmError) as caught:
            await place.events(runs, call=call, session=session)
        assert (caught.value.reason, caught.value.param) == (Reason.INVALID_FIELD, "idempotency_key")

    async with place.runs() as runs:
        asking = asyncio.create_task(place.events(runs))
        await asyncio.wait_for(place.tool.begun.wait(), TIMEOUT)
        await refused(runs)
        place.tool.go.set()
        await asking
        await refused(runs)
    assert place.tool.runs == 1


@pytest.mark.parametrize("key", ["k" * (LONGEST_KEY + 1), "a\0b"])
async def test_a_key_that_is_none(place: Place, key: str) -> None:
    async with place.runs() as runs:
        with pytest.raises(SwarmError) as caught:
            await place.events(runs, key=key)
    assert (caught.value.reason, caught.value.param) == (Reason.INVALID_FIELD, "idempotency_key")


async def test_nothing_runs_with_a_damaged_journal(place: Place) -> None:
    place.path.write_bytes(b"x" * 8192)
    async with place.runs() as runs:
        await runs.open()
        with pytest.raises(SwarmError) as caught:
            await place.events(runs)
    assert caught.value.reason is Reason.JOURNAL_UNAVAILABLE
    assert place.tool.runs == 0


async def test_an_outcome_that_cannot_be_written_is_told_once_and_unknown_afterwards(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.tool.go.set()

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    async with place.runs() as runs:
        with monkeypatch.context() as patched:
            patched.setattr("services.tool_server.journal._set_outcome", full)
            assert (await place.events(runs))[-1] == DONE
        assert await place.events(runs) == [UNKNOWN]
    assert place.tool.runs == 1


async def test_both_are_written_before_anything_follows_from_them(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    begin, finish = Journal.begin, Journal.finish

    def begun(self: Journal, key: str, digest: str) -> Known | None:
        assert place.tool.runs == 0
        known = begin(self, key, digest)
        written.append("begin")
        return known

    def finished(self: Journal, key: str, outcome: Outcome) -> None:
        finish(self, key, outcome)
        written.append("finish")

    monkeypatch.setattr(Journal, "begin", begun)
    monkeypatch.setattr(Journal, "finish", finished)
    place.tool.go.set()
    async with place.runs() as runs, asyncio.timeout(TIMEOUT):
        async for event in runs.execute("k", place.sessions.open("s"), CALL, 5):
            assert written == (["begin", "finish"] if isinstance(event, Outcome) else ["begin"])


async def test_many_keys_at_once(place: Place) -> None:
    place.tool.go.set()
    async with place.runs() as runs:
        keys = [f"k{number % 5}" for number in range(30)]
        results = await asyncio.gather(*(place.events(runs, key=key) for key in keys))
    assert place.tool.runs == 5
    assert {result[-1] for result in results} <= {DONE, REPLAY}

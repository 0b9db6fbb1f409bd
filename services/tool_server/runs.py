"""Calls with a key: each runs once, whoever asks how often, and is written down before and after."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import TypeVar

import structlog

from services.common.chat import ToolCall
from services.common.errors import Reason, SwarmError, invalid
from services.tool_server.executor import execute
from services.tool_server.journal import Journal
from services.tool_server.outcome import Outcome
from services.tool_server.sessions import Session
from services.tool_server.tools.registry import Registry

LONGEST_KEY = 200
UNKNOWN = Outcome(
    "Error: the outcome of this call is unknown: the tool server stopped while it was at it. It may have "
    "taken effect in whole, in part or not at all, and it was not run again. Look at what is there before "
    "you repeat it.",
    reason=Reason.OUTCOME_UNKNOWN,
    replayed=True,
)
STOPPED = Outcome(
    "Error: the call was stopped, because nobody waited for it any longer. It may have taken effect in part "
    "or in whole, and it was not run again.",
    reason=Reason.CANCELLED,
)
_NOT_STARTED = Outcome(
    "Error: the call was not started, because nobody waited for it any longer.", reason=Reason.CANCELLED
)

log = structlog.get_logger()

_T = TypeVar("_T")


class _Run:
    """One run as it goes on: all output so far, and the end of it."""

    def __init__(self, digest: str) -> None:
        self.digest = digest
        self.listeners = 0
        self.stop = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        # Not bounded, because what is fed into it is: a tool streams no more than the output's limit.
        self._said: list[str | Outcome] = []
        self._changed = asyncio.Event()

    def say(self, event: str | Outcome) -> None:
        self._said.append(event)
        self._changed.set()
        self._changed = asyncio.Event()

    async def events(self, task: asyncio.Task[None]) -> AsyncGenerator[str | Outcome, None]:
        """From the first output on, whenever one joins. Raises what the run raised."""
        seen = 0
        task.add_done_callback(lambda _: self._changed.set())
        while True:
            while seen < len(self._said):
                seen += 1
                yield self._said[seen - 1]
            if task.done():
                task.result()
                return
            await self._changed.wait()


class Runs:
    """All runs of calls with a key. Make it inside the running loop; close it after the server."""

    def __init__(self, registry: Registry, journal: Journal) -> None:
        self._registry = registry
        self._journal = journal
        self._live: dict[str, _Run] = {}
        # The journal waits for the disk, and takes one caller at a time.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")

    async def execute(
        self, key: str, session: Session, call: ToolCall, seconds: float
    ) -> AsyncGenerator[str | Outcome, None]:
        """As `executor.execute`, but a key that was seen before gives its own run's events or outcome.

        The tool ends at once when the last of those that listen has left. Raises SwarmError INVALID_FIELD
        (a key that is overlong, or known for another call), JOURNAL_UNAVAILABLE (nothing was run).
        """
        if len(key) > LONGEST_KEY or "\0" in key:
            raise invalid(
                "idempotency_key",
                f"idempotency_key is longer than {LONGEST_KEY} characters or has a zero byte",
            )
        digest = _digest(session, call)
        run = self._live.get(key)
        if run is None:
            run = self._live[key] = _Run(digest)
            run.task = asyncio.create_task(self._perform(run, key, session, call, seconds))
            run.task.add_done_callback(lambda task: self._ended(key, task))
        elif run.digest != digest:
            raise _other_call(key)
        assert run.task is not None
        run.listeners += 1
        try:
            async with aclosing(run.events(run.task)) as events:
                async for event in events:
                    yield event
        finally:
            run.listeners -= 1
            if run.listeners == 0:
                run.stop.set()
                await asyncio.wait({run.task})

    async def open(self) -> None:
        """Opens the journal now, so that the log tells at once what is wrong with it; calls try again."""
        with contextlib.suppress(SwarmError):
            await self._written(self._journal.open)

    async def close(self) -> None:
        """Stops what still runs and writes it down."""
        tasks = {run.task for run in self._live.values() if run.task is not None}
        for run in self._live.values():
            run.stop.set()
        if tasks:
            await asyncio.wait(tasks)
        await self._written(self._journal.close)
        self._thread.shutdown()

    async def _perform(self, run: _Run, key: str, session: Session, call: ToolCall, seconds: float) -> None:
        known = await self._written(lambda: self._journal.begin(key, run.digest))
        if known is not None:
            if known.digest != run.digest:
                raise _other_call(key)
            log.info(
                "tool not run again", tool=call.name, session=session.id, known=known.outcome is not None
            )
            run.say(known.outcome or UNKNOWN)
            return
        outcome = _NOT_STARTED if run.stop.is_set() else await self._outcome(run, session, call, seconds)
        try:
            await self._written(lambda: self._journal.finish(key, outcome))
        except (SwarmError, KeyError) as error:
            # Whoever listens is told nevertheless; whoever asks later hears that it is unknown.
            log.error(
                "an outcome was not written down", tool=call.name, session=session.id, detail=str(error)
            )
        run.say(outcome)

    async def _outcome(self, run: _Run, session: Session, call: ToolCall, seconds: float) -> Outcome:
        """Runs the tool to its end, or until `run.stop`. A defect's exception leaves the key unfinished."""
        running = asyncio.create_task(self._follow(run, session, call, seconds))
        stopped = asyncio.create_task(run.stop.wait())
        await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not running.done():
            running.cancel()
            await asyncio.wait({running})
        return STOPPED if running.cancelled() else running.result()

    async def _follow(self, run: _Run, session: Session, call: ToolCall, seconds: float) -> Outcome:
        async with aclosing(execute(self._registry, session, call, seconds)) as events:
            async for event in events:
                if isinstance(event, Outcome):
                    return event
                run.say(event)
        raise AssertionError("execute ends with an outcome")

    def _ended(self, key: str, task: asyncio.Task[None]) -> None:
        del self._live[key]
        error = task.exception()
        if error is not None and not isinstance(error, SwarmError):
            log.error("a tool broke; its key stays unfinished", key=key, exc_info=error)

    async def _written(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _digest(session: Session, call: ToolCall) -> str:
    """What a key stands for; not how long it may run, of which less is left at a second try."""
    text = json.dumps([session.id, call.name, call.arguments_json])
    return hashlib.sha256(text.encode()).hexdigest()


def _other_call(key: str) -> SwarmError:
    return invalid("idempotency_key", f"idempotency_key {key} stands for another session, tool or arguments")

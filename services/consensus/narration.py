"""A stream out of straight-line code: the work says events, the reader gets them and heartbeats between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from typing import Any

from services.consensus.events import DecideEvent, Heartbeat
from services.consensus.pulse import Pulse

Say = Callable[[DecideEvent], Awaitable[None]]
# Events that wait for the reader; beyond that the work waits.
_BACKLOG = 64


async def narrate(
    work: Callable[[Say], Coroutine[Any, Any, None]], pause: float, waiting_for: Callable[[], str]
) -> AsyncGenerator[DecideEvent, None]:
    """What `work` says, until it returns or raises; closing the generator cancels it.

    A heartbeat comes after each `pause` seconds of silence, but none before the first event.
    """
    pulse = Pulse(pause)
    queue: asyncio.Queue[DecideEvent | None] = asyncio.Queue(_BACKLOG)
    task = asyncio.create_task(work(queue.put))

    def wake(_task: asyncio.Task[None]) -> None:
        if not queue.full():
            queue.put_nowait(None)

    task.add_done_callback(wake)
    try:
        while not (task.done() and queue.empty()):
            try:
                async with asyncio.timeout_at(pulse.at):
                    event = await queue.get()
            except TimeoutError:
                event = Heartbeat(waiting_for())
            if event is not None:
                pulse.sent()
                yield event
        task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

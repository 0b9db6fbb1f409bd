"""From the engine's thread to one asyncio reader: one hand-over per step, and never more than a bound."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from services.inference_worker.engine.jobs import Ended, Output


class Outbox:
    """Make it inside the running loop. `push` is the engine's sink, `take` is the reader's."""

    def __init__(self, limit: int) -> None:
        """More than `limit` outputs that nobody takes: `push` says False, and drops all but an Ended."""
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        self._outputs: deque[Output] = deque()
        self._woken = False
        self._full = False

    def push(self, outputs: Sequence[Output]) -> bool:
        """False: the reader does not keep up."""
        if self._full:
            outputs = [output for output in outputs if isinstance(output, Ended)]
        self._outputs.extend(outputs)
        self._full = self._full or len(self._outputs) > self._limit
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._event.set)
        return not self._full

    async def take(self) -> list[Output]:
        """Waits for outputs and takes all there are."""
        while True:
            await self._event.wait()
            self._event.clear()
            # Before taking: what comes from now on wakes the reader again.
            self._woken = False
            taken: list[Output] = []
            while self._outputs:
                taken.append(self._outputs.popleft())
            if taken:
                return taken

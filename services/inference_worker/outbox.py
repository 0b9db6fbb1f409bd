"""From the engine's thread to asyncio readers: one hand-over per step, and never more than a bound."""

from __future__ import annotations

import asyncio
import ctypes
import os
from collections import deque
from collections.abc import Sequence

from services.inference_worker.engine.jobs import Ended, Output

# PyDLL keeps the GIL during the call. The loop's own wake-up lets it go, and the event loop takes it for
# all that it does with the news, while the engine, which has a decode to begin, waits: measured as half
# a millisecond a token.
_write = ctypes.PyDLL(None).write


class Bell:
    """Wakes the readers of one event loop. Make and close it inside that loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ear, self._clapper = os.pipe()
        os.set_blocking(self._ear, False)
        os.set_blocking(self._clapper, False)
        self._loop.add_reader(self._ear, self._answer)
        self._events: deque[asyncio.Event] = deque()
        self._rung = False

    def ring(self, event: asyncio.Event) -> None:
        """Sets `event` in its loop. From any thread, but not after `close`."""
        self._events.append(event)
        if not self._rung:
            self._rung = True
            # A full pipe is awake already.
            _write(self._clapper, b"!", 1)

    def close(self) -> None:
        self._loop.remove_reader(self._ear)
        os.close(self._ear)
        os.close(self._clapper)

    def _answer(self) -> None:
        os.read(self._ear, 4096)
        # Before the events: what comes from now on rings again.
        self._rung = False
        while self._events:
            self._events.popleft().set()


class Outbox:
    """Make it inside the running loop. `push` is the engine's sink, `take` is the reader's."""

    def __init__(self, limit: int, bell: Bell) -> None:
        """More than `limit` outputs that nobody takes: `push` says False, and drops all but an Ended."""
        self._limit = limit
        self._bell = bell
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
            self._bell.ring(self._event)
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

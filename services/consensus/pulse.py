"""When a heartbeat is due."""

from __future__ import annotations

import asyncio


class Pulse:
    """Counts from the last thing that was sent; `pause` is in seconds.

    Silent until the first `sent`: before it an error can still be told as a status.
    """

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self._loop = asyncio.get_running_loop()
        self._due: float | None = None

    @property
    def at(self) -> float | None:
        """In the loop's time; None while silent."""
        return self._due

    @property
    def due(self) -> bool:
        return self._due is not None and self._loop.time() >= self._due

    def sent(self) -> None:
        self._due = self._loop.time() + self._pause

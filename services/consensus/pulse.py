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
    def at(self) -> float:
        """In the loop's time; infinite while silent."""
        return float("inf") if self._due is None else self._due

    @property
    def due(self) -> bool:
        return self._loop.time() >= self.at

    def sent(self) -> None:
        self._due = self._loop.time() + self._pause

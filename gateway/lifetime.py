"""What a stopping gateway still owes: answers in flight get the drain's time, then an error event."""

from __future__ import annotations

from typing import Protocol

from services.common.errors import Reason, SwarmError


class Stoppable(Protocol):
    def stop(self, reason: Exception) -> None: ...


class Lifetime:
    """The decisions in flight."""

    def __init__(self) -> None:
        self._open: set[Stoppable] = set()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, decision: Stoppable) -> None:
        self._open.add(decision)

    def remove(self, decision: Stoppable) -> None:
        self._open.discard(decision)

    def expire(self) -> None:
        """The drain is over: whatever still runs is told so and stopped."""
        for decision in tuple(self._open):
            decision.stop(SwarmError(Reason.UNAVAILABLE, "the gateway is stopping; ask again in a moment"))

"""No commands at all, because they could not be contained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from services.common.errors import Reason, SwarmError
from services.tool_server.sandbox.base import Launch


@dataclass(frozen=True, slots=True)
class Refused:
    """`why` is for the user: what is missing, and what mends it."""

    why: str
    inside: str | None = None
    owner: tuple[int, int] | None = None

    def launch(self, command: str, folder: Path, seconds: float) -> Launch:
        raise SwarmError(Reason.SANDBOX_UNAVAILABLE, self.why)

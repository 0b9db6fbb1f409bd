"""The disk tier: one folder for all models and all workers of the box."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DiskTier:
    """At most `limit` bytes in `root`, over all models' folders together.

    `queue`: bytes that may wait in memory to be written.
    """

    root: Path
    limit: int
    queue: int = 1 << 30

"""What both sides are given alike."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Setting:
    """`cells` of KV (in f16) for `slots` sequences together; flash attention is on."""

    model: Path
    threads: int
    cells: int
    slots: int = 16

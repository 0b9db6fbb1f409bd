"""How much RAM and disk the kept KV state may take."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

# Parts of what is free, and what more would hardly bring.
_RAM_PART, _MOST_RAM = 8, 8 << 30
_DISK_PART, _MOST_DISK = 10, 32 << 30


@dataclass(frozen=True, slots=True)
class Budget:
    """Bytes; 0: that tier is not used."""

    ram: int
    disk: int


def budget(ram_wanted: int, disk_wanted: int, ram_free: int, folder: Path) -> Budget:
    """`*_wanted` -1: chosen by what is free. `ram_free`: bytes left when the model is loaded.

    `folder`: on whose disk the states are kept; it must exist.
    """
    disk_free = shutil.disk_usage(folder).free
    return Budget(
        ram=min(ram_free // _RAM_PART, _MOST_RAM) if ram_wanted < 0 else ram_wanted,
        disk=min(disk_free // _DISK_PART, _MOST_DISK) if disk_wanted < 0 else disk_wanted,
    )

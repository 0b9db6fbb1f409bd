"""What is told about the tiers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Tier(StrEnum):
    """Where a kept block lay."""

    RAM = "ram"
    DISK = "disk"


@dataclass(frozen=True, slots=True)
class TierStatus:
    """`blocks`: of this model. `evicted`: dropped for room (blocks in RAM, files on disk).

    `refused`: damaged or foreign entries that were deleted. `unkept`: blocks that found no
    room: neither in RAM nor on the way to disk, or not on disk.
    """

    bytes_used: int
    bytes_limit: int
    blocks: int
    evicted: int
    refused: int
    unkept: int


@dataclass(frozen=True, slots=True)
class StoreStatus:
    ram: TierStatus
    disk: TierStatus | None

"""How much memory a model may take here: what the machine has free, or what the container allows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Memory:
    """`bytes` that can be taken; `source` says in words what sets the bound."""

    bytes: int
    source: str


def available(cgroup: Path = _CGROUP) -> Memory:
    """RAM of the machine, or of the control group of this process if that has less left."""
    machine = Memory(psutil.virtual_memory().available, "free RAM")
    limited = _control_group(cgroup)
    return limited if limited is not None and limited.bytes < machine.bytes else machine


def _control_group(root: Path) -> Memory | None:
    for limit_file, used_file in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        limit, used = _number(root / limit_file), _number(root / used_file)
        if limit is not None and used is not None:
            # The page cache counts as used but is given back under pressure.
            cache = _reclaimable((root / limit_file).with_name("memory.stat"))
            return Memory(max(0, limit - max(0, used - cache)), "the container's memory limit")
    return None


def _number(path: Path) -> int | None:
    """None: no such file, or no limit ("max")."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _reclaimable(path: Path) -> int:
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    for line in lines:
        key, _, value = line.partition(" ")
        if key in ("inactive_file", "total_inactive_file") and value.isdigit():
            return int(value)
    return 0

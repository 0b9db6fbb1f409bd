"""How many threads the engine can use here."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

_CGROUP = Path("/sys/fs/cgroup")


def usable(cgroup: Path = _CGROUP) -> int:
    """Physical cores that this process may use: hyperthreads do not compute twice, and neither does a
    container's share of more cores than it is given time for."""
    physical = psutil.cpu_count(logical=False) or allowed(cgroup)
    return max(1, min(physical, allowed(cgroup)))


def allowed(cgroup: Path = _CGROUP) -> int:
    """Threads of any kind that this process can have running at once, hyperthreads too."""
    mask = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(mask, _quota(cgroup) or mask))


def _quota(cgroup: Path) -> int | None:
    """Cores that the control group's time allows, rounded down; None: no limit."""
    try:
        quota, period = (cgroup / "cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return None
    if not (quota.isdigit() and period.isdigit() and int(period)):
        return None
    return max(1, int(quota) // int(period))

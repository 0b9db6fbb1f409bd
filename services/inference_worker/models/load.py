"""What the machine's cores are busy with."""

from __future__ import annotations

import os

import psutil

from services.inference_worker.engine.sharing import Usage


def processors() -> list[int]:
    """Numbers of the cores, hyperthreads too, that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def usage(cores: list[int]) -> Usage:
    """Processor time so far on `cores`, and of this process."""
    every = psutil.cpu_times(percpu=True)
    own = os.times()
    return Usage(
        all=sum(_busy(every[core]) for core in cores if core < len(every)), own=own.user + own.system
    )


def _busy(times: object) -> float:
    """Guests' time is part of user time; stolen time is another machine's."""
    names = ("user", "nice", "system", "irq", "softirq")
    return float(sum(getattr(times, name, 0.0) for name in names))

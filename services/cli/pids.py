"""Processes that are not our children: known by pid and start, because a pid alone may be reused."""

from __future__ import annotations

import contextlib
import os
import signal
import time

import psutil

# Starts are told in hundredths of a second.
SAME = 0.05
POLL = 0.05
# Killed, a process is gone at once; one that hangs in the kernel may take longer.
KILL_PATIENCE = 15.0


def start_of(pid: int) -> float | None:
    """When the process was started, in seconds; None when there is none.

    On Linux since the machine's own start: the time of day jumps when a clock is set or a laptop wakes up,
    and a running swarm would no longer know itself.
    """
    try:
        started = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return None
    return started - psutil.boot_time() if psutil.LINUX else started


def own_start() -> float:
    found = start_of(os.getpid())
    assert found is not None
    return found


def alive(pid: int | None, started: float | None) -> bool:
    """Whether the very process that was started then still runs. A zombie does not."""
    if pid is None or started is None:
        return False
    now = start_of(pid)
    if now is None or abs(now - started) > SAME:
        return False
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def end(pid: int | None, started: float | None, number: int, patience: float) -> None:
    """Sends the signal `number`, and SIGKILL after `patience` seconds; returns when the process is gone.

    Asks instead of waiting for its end: in a container whose first process reaps nothing, that never comes.
    """
    for each, limit in ((number, patience), (signal.SIGKILL, KILL_PATIENCE)):
        if pid is None or not alive(pid, started):
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, each)
        give_up = time.monotonic() + limit
        while alive(pid, started) and time.monotonic() < give_up:
            time.sleep(POLL)

"""How every process of the swarm begins: settings, logs, and one clear line if it cannot start."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from services.common import logging, settings
from services.common.errors import SwarmError

# sysexits.h EX_CONFIG: starting again would fail in the same way, so the supervisor does not try, unless
# the service had run steadily before.
EXIT_CANNOT_START = 78

# The supervisor's process id, set for the processes that must not outlive it.
SUPERVISOR_VARIABLE = "SWARM_SUPERVISOR_PID"
_PR_SET_PDEATHSIG = 1


def run(name: str, main: Callable[[settings.Settings], Coroutine[Any, Any, None]]) -> None:
    """Runs `main` to its end. A SwarmError from it is one line on stderr and exit status 78."""
    die_with_supervisor()
    try:
        loaded = settings.load().settings
        logging.configure(name, loaded.log_level)
        asyncio.run(main(loaded))
    except SwarmError as error:
        structlog.get_logger().error("cannot start", reason=error.reason, detail=error.message)
        print(f"{name}: {error.message}", file=sys.stderr, flush=True)
        sys.exit(EXIT_CANNOT_START)


def die_with_supervisor() -> None:
    """Has the kernel kill this process when its supervisor dies (Linux; elsewhere the next leader does it).

    The child asks for this itself: doing it between fork and exec of a process with threads can deadlock.
    """
    supervisor = os.environ.get(SUPERVISOR_VARIABLE)
    if supervisor is None or sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    # It may have died before the kernel was told.
    if os.getppid() != int(supervisor):
        sys.exit("the supervisor is gone")

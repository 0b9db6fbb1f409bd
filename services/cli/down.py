"""`swarm down`: ends the supervisor and everything it started, and leaves no process and no lock file."""

from __future__ import annotations

import signal
import time

from services.cli import locks, pids
from services.cli.state import Files, SwarmState
from services.common.errors import Reason, SwarmError

# What stopping five services may take beside their drains.
GRACE = 30.0
# A supervisor tells its state as soon as it leads.
SUPERVISOR_PATIENCE = 20.0
POLL = 0.1


def patience(drain: float) -> float:
    """Seconds that a supervisor may need to stop: its services end one after the other."""
    return 5 * drain + GRACE


def stop(files: Files, drain: float) -> bool:
    """Stops the swarm of this home and waits until it is gone. False when none was running."""
    state = _state(files)
    if state is not None:
        _end(files, state, drain)
    files.clear()
    if not locks.is_held(files.starting):
        # Of an `up` that was killed.
        files.starting.unlink(missing_ok=True)
    return state is not None


def _end(files: Files, state: SwarmState, drain: float) -> None:
    if pids.alive(state.pid, state.started):
        pids.end(state.pid, state.started, signal.SIGTERM, patience(drain))
    else:
        # The other one is about to lead: let nobody take over from here on.
        pids.end(state.standby_pid, state.standby_started, signal.SIGTERM, patience(drain))
    _kill_what_is_left(files.read() or state)


def _state(files: Files) -> SwarmState | None:
    """The running swarm's state; one that is just being started is waited for, or it would outlive this."""
    give_up = time.monotonic() + SUPERVISOR_PATIENCE
    while (state := files.running()) is None and (locks.is_held(files.starting) or locks.is_held(files.lock)):
        if time.monotonic() > give_up:
            raise SwarmError(
                Reason.UNAVAILABLE, f"a supervisor holds {files.lock} and does not tell its state; end it"
            )
        time.sleep(POLL)
    return state


def _kill_what_is_left(state: SwarmState) -> None:
    """The supervisor stops its own; this is for one that was killed in the middle of it."""
    for pid, started in (
        (state.standby_pid, state.standby_started),
        (state.pid, state.started),
        *((service.pid, service.started) for service in state.services.values()),
    ):
        pids.end(pid, started, signal.SIGKILL, pids.KILL_PATIENCE)

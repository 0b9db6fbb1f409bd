"""`swarm down`: ends the supervisor and everything it started, and leaves no process and no lock file."""

from __future__ import annotations

import contextlib
import signal

import psutil

from services.cli.state import Files, SwarmState, alive

# What five services may need beside their drain.
GRACE = 15.0


def stop(files: Files, drain: float) -> bool:
    """Stops the swarm of this home and waits until it is gone. False when none was running."""
    state = files.running()
    if state is None:
        files.clear()
        return False
    leader = _process(state.pid, state.started)
    if leader is None:
        # The other one is about to lead: let nobody take over from here on.
        leader = _process(state.standby_pid or 0, state.standby_started)
    if leader is not None:
        _end(leader, signal.SIGTERM, 5 * drain + GRACE)
    _kill_what_is_left(files, state)
    files.clear()
    return True


def _process(pid: int, started: float | None) -> psutil.Process | None:
    return psutil.Process(pid) if pid and alive(pid, started) else None


def _end(process: psutil.Process, number: int, patience: float) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)
        try:
            process.wait(patience)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(GRACE)


def _kill_what_is_left(files: Files, state: SwarmState) -> None:
    """The supervisor stops its own; this is for one that was killed in the middle of it."""
    last = files.read() or state
    left = [(last.standby_pid, last.standby_started), (last.pid, last.started)]
    left += [(service.pid, None) for service in last.services.values()]
    for pid, started in left:
        process = _process(pid or 0, started)
        if process is None:
            continue
        with contextlib.suppress(psutil.NoSuchProcess):
            if any(part.startswith(("services.", "gateway")) for part in process.cmdline()):
                process.kill()
                process.wait(GRACE)

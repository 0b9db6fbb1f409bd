"""The life of one supervised process as five named states. Pure: event and time in, next life out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from services.common.process import EXIT_CANNOT_START

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 10.0
# After so long a run the next crash is a new story and the pause starts small again.
STEADY = 30.0
# A process that dies so often without ever having been ready will not come up by itself.
STILLBORN = 5


class State(StrEnum):
    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Life:
    """`since` is when the state was entered; `restart_at` is set while STOPPED after a crash. Seconds.

    `proven`: it has run steadily with these settings, so a start that fails now has a passing cause
    (memory that is short just after a crash, say) and is tried again.
    """

    state: State = State.STOPPED
    since: float = 0.0
    restarts: int = 0
    crashes_in_row: int = 0
    was_ready: bool = False
    proven: bool = False
    restart_at: float | None = None
    detail: str = ""


def started(life: Life, now: float) -> Life:
    return replace(life, state=State.STARTING, since=now, restart_at=None, detail="")


def ready(life: Life, now: float) -> Life:
    if life.state is not State.STARTING:
        return life
    return replace(life, state=State.READY, since=now, was_ready=True)


def stopping(life: Life, now: float) -> Life:
    return replace(life, state=State.STOPPING, since=now, restart_at=None)


def exited(life: Life, status: int, now: float) -> Life:
    """The process is gone with `status` (negative: by that signal)."""
    how = f"killed by signal {-status}" if status < 0 else f"ended with status {status}"
    if life.state is State.STOPPING:
        return replace(life, state=State.STOPPED, since=now, restart_at=None, detail="")
    steady = life.state is State.READY and now - life.since >= STEADY
    proven = life.proven or steady
    if status == EXIT_CANNOT_START and not proven:
        return replace(life, state=State.FAILED, since=now, detail="cannot start")
    crashes = 1 if steady else life.crashes_in_row + 1
    if not (life.was_ready or proven) and crashes >= STILLBORN:
        return replace(
            life,
            state=State.FAILED,
            since=now,
            crashes_in_row=crashes,
            detail=f"{how}, {crashes} times in a row",
        )
    pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (crashes - 1))
    return replace(
        life,
        state=State.STOPPED,
        since=now,
        restarts=life.restarts + 1,
        crashes_in_row=crashes,
        proven=proven,
        restart_at=now + pause,
        detail=how,
    )

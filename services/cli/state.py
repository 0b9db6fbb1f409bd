"""What the supervisor tells the other commands: one JSON file in <home>/run, replaced atomically."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from services.cli.pids import alive
from services.common.errors import Reason, SwarmError


@dataclass(frozen=True, slots=True)
class ServiceState:
    state: str
    pid: int | None
    restarts: int
    address: str
    detail: str = ""
    started: float | None = None


@dataclass(frozen=True, slots=True)
class SwarmState:
    """`started` and `standby_started` are as `pids.start_of` tells them."""

    pid: int
    started: float
    model: str
    instances: int
    gateway: str
    root: str
    standby_pid: int | None = None
    standby_started: float | None = None
    services: dict[str, ServiceState] = field(default_factory=dict)


class Files:
    """Where a swarm keeps its running state."""

    def __init__(self, home: Path) -> None:
        self.run = home / "run"
        self.logs = home / "logs"
        # Held by the supervisor that leads, and by an `up` until the swarm is ready.
        self.lock = self.run / "lock"
        self.starting = self.run / "starting"
        self.state = self.run / "state.json"

    def make(self) -> None:
        """Raises SwarmError UNAVAILABLE naming a folder that cannot be made."""
        for folder in (self.run, self.logs):
            try:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            except OSError as error:
                raise SwarmError(
                    Reason.UNAVAILABLE,
                    f"cannot make the folder {folder}: {error.strerror}. SWARM_HOME names another place",
                ) from error

    def log(self, service: str) -> Path:
        return self.logs / f"{service}.log"

    def write(self, state: SwarmState) -> None:
        temporary = self.state.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(state), indent=1), encoding="utf-8")
        temporary.replace(self.state)

    def read(self) -> SwarmState | None:
        """The last state told; None when there is none or it is not ours to read."""
        try:
            raw: Any = json.loads(self.state.read_text(encoding="utf-8"))
            if not isinstance(raw, dict):
                return None
            services = {name: ServiceState(**each) for name, each in raw.pop("services").items()}
            return SwarmState(services=services, **raw)
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def running(self) -> SwarmState | None:
        """The state of a swarm that is alive: its supervisor, or the one that stands by to take over."""
        state = self.read()
        if state is None:
            return None
        if alive(state.pid, state.started):
            return state
        if alive(state.standby_pid, state.standby_started):
            return state
        return None

    def clear(self) -> None:
        for path in (self.state, self.state.with_suffix(".tmp"), self.lock):
            path.unlink(missing_ok=True)

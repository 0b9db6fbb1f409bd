"""Who this worker is: an id and a name, drawn once and kept, so that a restart is the same member."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from random import SystemRandom

from services.common.errors import Reason, SwarmError
from services.common.names import draw_name


@dataclass(frozen=True, slots=True)
class Identity:
    id: str
    name: str


def load(home: Path, port: int, wanted_name: str) -> Identity:
    """The identity of the worker on `port` of this home. `wanted_name`: what the user configured, or "".

    Raises SwarmError UNAVAILABLE when it cannot be kept.
    """
    path = home / f"worker-{port}.json"
    try:
        home.mkdir(parents=True, exist_ok=True)
        known = _read(path) or Identity(uuid.uuid4().hex, draw_name(_names_beside(path), SystemRandom()))
        identity = Identity(known.id, wanted_name or known.name)
        if identity != _read(path):
            partial = path.with_suffix(".part")
            partial.write_text(json.dumps(asdict(identity)), encoding="utf-8")
            partial.replace(path)
    except OSError as error:
        raise SwarmError(
            Reason.UNAVAILABLE, f"the worker's name cannot be kept in {path}: {error}"
        ) from error
    return identity


def _read(path: Path) -> Identity | None:
    """None: there is none yet, or the file is damaged and a new one must be drawn."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Identity(str(values["id"]), str(values["name"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _names_beside(path: Path) -> set[str]:
    """Names of the other workers of this home."""
    others = (_read(each) for each in path.parent.glob("worker-*.json") if each != path)
    return {other.name for other in others if other is not None}

"""What the swarm found out about voting with a model, kept for `auto`: one JSON file a model."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog

from services.consensus.trial.bootstrap import Interval
from services.consensus.trial.compare import GREEDY, SAMPLE, Row

VERSION = 1

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Gain:
    """One strategy's gain over the better of one sample and one greedy answer, as a share."""

    strategy: str
    gain: Interval
    tokens: float


@dataclass(frozen=True, slots=True)
class Merit:
    """`gains` of all strategies that were tried, on `items` items with so many `candidates`."""

    model: str
    items: int
    candidates: int
    temperature: float
    gains: tuple[Gain, ...]

    @property
    def best(self) -> Gain | None:
        """The strategy to use: of those whose gain's lower bound is above zero, the one with the greatest
        gain; None: voting does not pay with this model."""
        paying = [each for each in self.gains if each.gain.low > 0]
        return max(paying, key=lambda each: (each.gain.mean, each.strategy), default=None)


def merit_of(
    model: str,
    rows: Sequence[Row],
    strategies: Sequence[str],
    items: int,
    candidates: int,
    temperature: float,
) -> Merit:
    shares = {row.way: row.share.mean for row in rows}
    by_greedy = shares[GREEDY] >= shares[SAMPLE]
    gains = tuple(
        Gain(row.way, row.over_greedy if by_greedy else row.over_sample, row.tokens)
        for row in rows
        if row.way in strategies
    )
    return Merit(model, items, candidates, temperature, gains)


def save(folder: Path, merit: Merit) -> Path:
    """Replaces what was known of the model, whole or not at all. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / _name(merit.model)
    text = json.dumps({"version": VERSION, **asdict(merit)}, indent=1)
    handle, unfinished = tempfile.mkstemp(dir=folder, prefix=".merit-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text + "\n")
        Path(unfinished).replace(path)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise
    return path


def load(folder: Path, model: str) -> Merit | None:
    """None: nothing is known of the model, or what is known cannot be read (that is logged)."""
    path = folder / _name(model)
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
        if entry["version"] != VERSION or entry["model"] != model:
            raise ValueError(f"version {entry['version']} of {entry['model']}")
        return _merit(entry)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("an evaluation cannot be read and counts for nothing", path=str(path), detail=str(error))
        return None


def advice(folder: Path, model: str) -> str | None:
    """The strategy that pays with this model, empty if none does; None: nothing is known of it."""
    known = load(folder, model)
    if known is None:
        return None
    return known.best.strategy if known.best else ""


def _merit(entry: dict[str, Any]) -> Merit:
    gains = tuple(
        Gain(str(each["strategy"]), Interval(**each["gain"]), float(each["tokens"]))
        for each in entry["gains"]
    )
    return Merit(
        entry["model"], int(entry["items"]), int(entry["candidates"]), float(entry["temperature"]), gains
    )


def _name(model: str) -> str:
    # Models are named as their users like.
    return hashlib.sha256(model.encode("utf-8", "surrogatepass")).hexdigest()[:32] + ".json"

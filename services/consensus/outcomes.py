"""Verified outcomes, kept in one JSON file: who was right how often, when somebody could check."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog

from services.common.errors import Reason, SwarmError
from services.consensus.weights import Record, Voter, weight

_VERSION = 1

log = structlog.get_logger()


def outcomes_file(home: Path) -> Path:
    """Where a swarm keeps them; `home` is its state folder."""
    return home / "outcomes.json"


class Outcomes:
    """The records of one file. One process writes it; what it says survives a crash at any moment."""

    def __init__(self, path: Path, records: Mapping[Voter, Record]) -> None:
        self._path = path
        self._records = dict(records)

    @classmethod
    def load(cls, path: Path) -> Outcomes:
        """The file's records, none if there is no file yet.

        Raises SwarmError INTERNAL when the file is damaged: it has then been set aside, under a name that the
        error tells, so the next load begins with no records.
        """
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            return cls(path, {})
        try:
            return cls(path, _records(json.loads(text)))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            aside = _set_aside(path)
            log.error("verified outcomes are damaged", file=str(path), aside=str(aside), detail=str(error))
            raise SwarmError(
                Reason.INTERNAL,
                f"The verified outcomes in {path} are damaged ({error}); the file is now {aside}. "
                "Mend it and put it back, or go on without: all weights then begin anew.",
            ) from error

    @property
    def records(self) -> Mapping[Voter, Record]:
        return dict(self._records)

    def weight(self, voter: Voter) -> float:
        """1 for a voter of whom nothing is known."""
        return weight(self._records.get(voter, Record()))

    def note(self, voter: Voter, right: bool) -> None:
        """One answer of `voter` was checked. `save` keeps it."""
        self._records[voter] = self._records.get(voter, Record()).with_outcome(right)

    def save(self) -> None:
        """Writes all records, so that there is always either the old file or the new one. Raises OSError."""
        rows = [
            {"worker": voter.worker, "model": voter.model, "right": record.right, "wrong": record.wrong}
            for voter, record in sorted(self._records.items(), key=lambda row: (row[0].worker, row[0].model))
        ]
        text = json.dumps({"version": _VERSION, "outcomes": rows}, indent=1) + "\n"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self._path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def _records(found: Any) -> dict[Voter, Record]:
    if not isinstance(found, dict) or found.get("version") != _VERSION:
        raise ValueError(f"expected an object of version {_VERSION}")
    records: dict[Voter, Record] = {}
    for place, row in enumerate(found["outcomes"]):
        voter = Voter(row["worker"], row["model"])
        counts = (row["right"], row["wrong"])
        if not all(isinstance(name, str) for name in (voter.worker, voter.model)):
            raise TypeError(f"outcomes[{place}]: worker and model are text")
        if not all(type(count) is int for count in counts):
            raise TypeError(f"outcomes[{place}]: right and wrong are whole numbers")
        if voter in records:
            raise ValueError(f"outcomes[{place}]: {voter.worker} with {voter.model} is there twice")
        records[voter] = Record(*counts)
    return records


def _set_aside(path: Path) -> Path:
    """Under the first name that is free: an earlier damaged file is not overwritten."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    path.rename(aside)
    return aside

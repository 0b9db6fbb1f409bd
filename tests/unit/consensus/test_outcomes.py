"""The file of verified outcomes: whole or as it was, and refused when it is damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.common.errors import Reason, SwarmError
from services.consensus.outcomes import Outcomes
from services.consensus.weights import Record, Voter, weight

ZEUS = Voter("worker@1", "family:7b:4bit/with a slash")
HERA = Voter("worker@2", "family:7b:4bit/with a slash")


def noted(path: Path) -> Outcomes:
    outcomes = Outcomes.load(path)
    for right in (True, True, False):
        outcomes.note(ZEUS, right)
    outcomes.note(HERA, False)
    return outcomes


def test_what_was_noted_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "not yet" / "outcomes.json"
    noted(path).save()
    again = Outcomes.load(path)
    assert again.records == {ZEUS: Record(2, 1), HERA: Record(0, 1)}
    assert again.weight(ZEUS) == weight(Record(2, 1))
    assert again.weight(Voter("worker@1", "another model")) == pytest.approx(1.0)
    again.note(HERA, True)
    again.save()
    assert Outcomes.load(path).records[HERA] == Record(1, 1)


def test_without_a_file_nothing_is_known(tmp_path: Path) -> None:
    assert Outcomes.load(tmp_path / "outcomes.json").records == {}


def test_a_write_that_fails_leaves_the_old_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "outcomes.json"
    outcomes = noted(path)
    outcomes.save()
    before = path.read_bytes()

    def full(_file: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("services.consensus.outcomes.os.fsync", full)
    outcomes.note(ZEUS, True)
    with pytest.raises(OSError, match="no space left"):
        outcomes.save()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


ROW = {"worker": "w", "model": "m", "right": 1, "wrong": 0}


@pytest.mark.parametrize(
    "content",
    [
        "",
        '{"version": 1, "outcomes": [',
        "[]",
        '{"version": 2, "outcomes": []}',
        '{"version": 1}',
        '{"version": 1, "outcomes": null}',
        json.dumps({"version": 1, "outcomes": [{**ROW, "right": -1}]}),
        json.dumps({"version": 1, "outcomes": [{**ROW, "right": 1.5}]}),
        json.dumps({"version": 1, "outcomes": [{**ROW, "right": True}]}),
        json.dumps({"version": 1, "outcomes": [{**ROW, "worker": 7}]}),
        json.dumps({"version": 1, "outcomes": [{**ROW, "worker": []}]}),
        json.dumps({"version": 1, "outcomes": ["row"]}),
        json.dumps({"version": 1, "outcomes": [ROW, ROW]}),
        "\udcff",
    ],
)
def test_a_damaged_file_is_refused_and_set_aside(tmp_path: Path, content: str) -> None:
    path = tmp_path / "outcomes.json"
    damaged = content.encode("utf-8", "surrogateescape")
    for number in (1, 2):
        path.write_bytes(damaged)
        aside = tmp_path / f"outcomes.json.damaged-{number}"
        with pytest.raises(SwarmError) as caught:
            Outcomes.load(path)
        assert caught.value.reason is Reason.INTERNAL
        assert str(aside) in caught.value.message
        assert aside.read_bytes() == damaged
        assert Outcomes.load(path).records == {}

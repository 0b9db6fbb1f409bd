"""A worker's id and name outlive its process."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.common.errors import Reason, SwarmError
from services.common.names import NAMES
from services.inference_worker import identity


def test_it_is_drawn_once_and_kept(tmp_path: Path) -> None:
    first = identity.load(tmp_path / "home", 17619, "")
    assert first.name in NAMES
    assert identity.load(tmp_path / "home", 17619, "") == first


def test_two_workers_of_one_home_differ(tmp_path: Path) -> None:
    everyone = [identity.load(tmp_path, port, "") for port in range(1, 40)]
    assert len({each.id for each in everyone}) == len({each.name for each in everyone}) == 39


def test_a_configured_name_is_taken_and_the_id_stays(tmp_path: Path) -> None:
    drawn = identity.load(tmp_path, 1, "")
    named = identity.load(tmp_path, 1, "Kitchen")
    assert (named.id, named.name) == (drawn.id, "Kitchen")


def test_a_damaged_file_is_replaced(tmp_path: Path) -> None:
    identity.load(tmp_path, 1, "")
    for damage in ("", "{", "[1]", '{"id": 1}'):
        (tmp_path / "worker-1.json").write_text(damage)
        assert identity.load(tmp_path, 1, "").name in NAMES


def test_a_home_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file, not a folder")
    with pytest.raises(SwarmError) as caught:
        identity.load(tmp_path / "home", 1, "")
    assert caught.value.reason is Reason.UNAVAILABLE
    assert "worker-1.json" in caught.value.message

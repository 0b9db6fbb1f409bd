"""The user's file counts from the moment it is there, and a broken one changes nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import structlog.testing

from services.inference_worker.instructions_file import MAX_BYTES, InstructionsFile


def write(path: Path, text: str | bytes, at: int) -> None:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    os.utime(path, ns=(at, at))


def test_the_file_is_read_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "tool_instructions.txt"
    file = InstructionsFile(path)
    default = file.read()
    assert "{tools}" in default
    assert "{call}" in default
    write(path, "one {tools}", 1)
    assert file.read() == "one {tools}"
    write(path, "two {tools}", 2)
    assert file.read() == "two {tools}"
    path.unlink()
    assert file.read() == default


def test_it_is_not_read_at_every_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    write(path, "one {tools}", 1)
    file = InstructionsFile(path)
    assert file.read() == "one {tools}"
    monkeypatch.setattr(Path, "open", None)
    assert file.read() == "one {tools}"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("no place for tools", "{tools} is missing"),
        (b"{tools}\xff", "utf-8"),
        ("{tools}" * MAX_BYTES, "longer"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_once_and_leaves_the_text(
    tmp_path: Path, content: str | bytes, why: str
) -> None:
    path = tmp_path / "x"
    write(path, "one {tools}", 1)
    file = InstructionsFile(path)
    file.read()
    write(path, content, 2)
    with structlog.testing.capture_logs() as logs:
        assert [file.read(), file.read()] == ["one {tools}"] * 2
    (entry,) = logs
    assert entry["event"] == "tool_instructions.unusable"
    assert why in entry["error"]
    write(path, "good {tools}", 3)
    assert file.read() == "good {tools}"


def test_a_folder_in_its_place_is_no_end(tmp_path: Path) -> None:
    assert "{tools}" in InstructionsFile(tmp_path).read()
    (tmp_path / "file").touch()
    assert "{tools}" in InstructionsFile(tmp_path / "file" / "below").read()

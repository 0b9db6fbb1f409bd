from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.common.errors import Reason, SwarmError
from services.tool_server.sessions import Sessions, folder_name

NASTY = [
    "../../etc",
    "..",
    ".",
    "/etc/passwd",
    "a/b",
    "a\0b",
    "a\nb",
    "ses_1 ; rm -rf /",
    "x" * 500,
    "\ud800",
    "-rf",
    "…",
    "con",
    "A",
    "a",
]


@pytest.mark.parametrize("session_id", NASTY)
def test_an_id_becomes_one_harmless_name(session_id: str) -> None:
    name = folder_name(session_id)
    assert name
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
    assert len(name) <= 100
    assert not name.startswith("-")


def test_different_ids_never_share_a_folder_even_where_case_does_not_count() -> None:
    names = {folder_name(session_id).casefold() for session_id in [*NASTY, "a b", "a-b", "a_b", "a/b/"]}
    assert len(names) == len(NASTY) + 4


def test_the_folder_is_private_and_kept(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path / "new" / "sessions", "/workspace", None)
    first = sessions.open("../s1")
    assert first.folder.parent == tmp_path / "new" / "sessions"
    assert first.folder.stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "new" / "sessions").stat().st_mode & 0o777 == 0o700
    assert first.root_names == ("/workspace", str(first.folder))
    (first.folder / "f").write_text("kept")
    assert (sessions.open("../s1").folder / "f").read_text() == "kept"
    assert sessions.open("s2").folder != first.folder
    with first.root() as root:
        assert os.stat("f", dir_fd=root).st_size == 4


def test_without_another_name_inside_there_is_only_the_real_one(tmp_path: Path) -> None:
    session = Sessions(tmp_path, None, None).open("s")
    assert session.root_names == (str(session.folder),)


def test_a_folder_that_was_taken_away_is_told(tmp_path: Path) -> None:
    session = Sessions(tmp_path, None, None).open("s")
    session.folder.rmdir()
    with pytest.raises(SwarmError, match="no folder for this session"), session.root():
        raise AssertionError("opened")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands folders to others")
def test_the_folder_belongs_to_who_works_in_it(tmp_path: Path) -> None:
    session = Sessions(tmp_path, "/workspace", (61000, 61000)).open("s")
    assert (session.folder.stat().st_uid, session.folder.stat().st_gid) == (61000, 61000)


@pytest.mark.parametrize("session_id", ["", "  ", "x" * 513])
def test_an_impossible_id_is_invalid(tmp_path: Path, session_id: str) -> None:
    with pytest.raises(SwarmError) as caught:
        Sessions(tmp_path, None, None).open(session_id)
    assert (caught.value.reason, caught.value.param) == (Reason.INVALID_FIELD, "session_id")


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SwarmError) as caught:
        Sessions(tmp_path / "file", None, None).open("s")
    assert caught.value.reason is Reason.TOOL_FAILED


def test_a_link_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sessions").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "sessions" / folder_name("s")).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SwarmError, match="symbolic link"):
        Sessions(tmp_path / "sessions", None, None).open("s")

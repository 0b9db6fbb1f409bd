from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.common.errors import Reason, SwarmError
from services.tool_server.files import Excerpt, read_text, write_text


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    made.mkdir()
    return made


@pytest.fixture
def root(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def _read(root: int, name: str, first: int = 1, limit: int = 2000, max_bytes: int = 50_000) -> Excerpt:
    return read_text(root, (name,), first, limit, max_bytes, lambda: False)


@pytest.mark.parametrize(
    ("text", "first", "limit", "max_bytes", "expected"),
    [
        ("", 1, 10, 100, ("", 0, False)),
        ("a\nb\n", 1, 10, 100, ("a\nb\n", 2, False)),
        ("a\nb", 1, 10, 100, ("a\nb", 2, False)),
        ("a\nb\nc\n", 1, 2, 100, ("a\nb\n", 2, True)),
        ("a\nb\nc\n", 2, 1, 100, ("b\n", 1, True)),
        ("a\nb\nc\n", 3, 1, 100, ("c\n", 1, False)),
        ("a\nb\nc\n", 4, 1, 100, ("", 0, False)),
        ("aaaa\nbbbb\ncccc\n", 1, 10, 12, ("aaaa\nbbbb\n", 2, True)),
        ("aaaa\nbbbb\n", 1, 10, 10, ("aaaa\nbbbb\n", 2, False)),
        ("a\r\nb\r\n", 2, 1, 100, ("b\r\n", 1, False)),
        ("ä" * 10, 1, 10, 20, ("ä" * 10, 1, False)),
    ],
)
def test_excerpts(
    folder: Path,
    root: int,
    text: str,
    first: int,
    limit: int,
    max_bytes: int,
    expected: tuple[str, int, bool],
) -> None:
    (folder / "f").write_bytes(text.encode())
    excerpt = _read(root, "f", first, limit, max_bytes)
    assert (excerpt.text, excerpt.lines, excerpt.more) == expected
    assert not excerpt.cut


@pytest.mark.parametrize(("max_bytes", "kept"), [(5, "ää"), (6, "äää"), (7, "äää")])
def test_a_line_that_is_too_long_is_cut_between_characters(
    folder: Path, root: int, max_bytes: int, kept: str
) -> None:
    (folder / "f").write_text("ä" * 100)
    excerpt = _read(root, "f", max_bytes=max_bytes)
    assert (excerpt.text, excerpt.cut, excerpt.more) == (kept, True, True)


def test_a_far_offset_skips_by_lines_over_several_chunks(folder: Path, root: int) -> None:
    lines = [f"{number:07d}" + "x" * (number % 90) for number in range(60_000)]
    (folder / "f").write_text("\n".join(lines))
    for first in (1, 2, 12_345, 40_001, 60_000):
        assert _read(root, "f", first, 1).text.rstrip("\n") == lines[first - 1]
    with pytest.raises(SwarmError) as caught:
        _read(root, "f", 60_001)
    assert (caught.value.reason, caught.value.param) == (Reason.INVALID_FIELD, "offset")
    assert "59999" in caught.value.message


def test_skipping_stops_when_told(folder: Path, root: int) -> None:
    (folder / "f").write_text("x\n" * 10)
    with pytest.raises(SwarmError) as caught:
        read_text(root, ("f",), 5, 1, 100, lambda: True)
    assert caught.value.reason is Reason.DEADLINE_EXCEEDED


@pytest.mark.parametrize(
    ("data", "byte", "line"),
    [
        (b"ok\n\xff\xfe", "0xff", 2),
        (b"a\0b", "0x00", 1),
        (b"1\n2\n3\xe4\n", "0xe4", 3),
        (b"caf\xc3", "0xc3", 1),
    ],
)
def test_what_is_no_text_is_told_with_its_place(
    folder: Path, root: int, data: bytes, byte: str, line: int
) -> None:
    (folder / "f").write_bytes(data)
    with pytest.raises(SwarmError) as caught:
        _read(root, "f")
    assert caught.value.reason is Reason.TOOL_FAILED
    assert f"byte {byte} in line {line}" in caught.value.message


def test_folders_pipes_and_missing_files_are_told_apart(folder: Path, root: int) -> None:
    (folder / "sub").mkdir()
    os.mkfifo(folder / "pipe")
    for name, reason, word in [
        ("sub", Reason.TOOL_FAILED, "folder"),
        ("pipe", Reason.TOOL_FAILED, "pipe"),
        ("gone", Reason.NOT_FOUND, "does not exist"),
        ("x" * 300, Reason.TOOL_FAILED, "too long"),
    ]:
        with pytest.raises(SwarmError, match=word) as caught:
            _read(root, name)
        assert caught.value.reason is reason
    for name in ("sub", "pipe"):
        with pytest.raises(SwarmError) as caught:
            write_text(root, (name,), "text")
        assert caught.value.reason is Reason.TOOL_FAILED
    with pytest.raises(SwarmError, match="folder itself"):
        write_text(root, (), "text")


def test_writing_makes_folders_and_says_whether_it_replaced(folder: Path, root: int) -> None:
    assert write_text(root, ("a", "b", "f"), "öne\n") is False
    assert write_text(root, ("a", "b", "f"), "two\n") is True
    assert (folder / "a" / "b" / "f").read_text() == "two\n"
    assert sorted(each.name for each in (folder / "a" / "b").iterdir()) == ["f"]


def test_replacing_keeps_the_permissions_and_a_reader_keeps_the_old_text(folder: Path, root: int) -> None:
    script = folder / "run.sh"
    script.write_text("old")
    script.chmod(0o750)
    with script.open() as reader:
        write_text(root, ("run.sh",), "new")
        assert reader.read() == "old"
    assert script.read_text() == "new"
    assert script.stat().st_mode & 0o7777 == 0o750


def test_a_link_is_neither_followed_nor_replaced(tmp_path: Path, folder: Path, root: int) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (folder / "out").symlink_to(secret)
    (folder / "dangling").symlink_to(tmp_path / "made")
    (folder / "inner").symlink_to("real")
    (folder / "real").write_text("real")
    for name, reason in [
        ("out", Reason.PATH_OUTSIDE_ROOT),
        ("dangling", Reason.PATH_OUTSIDE_ROOT),
        ("inner", Reason.TOOL_FAILED),
    ]:
        with pytest.raises(SwarmError) as caught:
            write_text(root, (name,), "overwritten")
        assert caught.value.reason is reason
        assert (folder / name).is_symlink()
    assert secret.read_text() == "secret"
    assert (folder / "real").read_text() == "real"
    assert not (tmp_path / "made").exists()


def test_a_hard_link_is_cut_not_written_through(tmp_path: Path, folder: Path, root: int) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    os.link(secret, folder / "hard")
    write_text(root, ("hard",), "mine")
    assert secret.read_text() == "secret"
    assert (folder / "hard").read_text() == "mine"


def test_content_that_cannot_be_utf8_is_named(root: int) -> None:
    with pytest.raises(SwarmError) as caught:
        write_text(root, ("f",), "ab\ud800")
    assert (caught.value.reason, caught.value.param) == (Reason.INVALID_FIELD, "content")
    assert "character 2" in caught.value.message


def test_a_failed_write_leaves_nothing(folder: Path, root: int, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "f").write_text("old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("services.tool_server.files.os.fsync", full)
    with pytest.raises(SwarmError, match="no space left"):
        write_text(root, ("f",), "new")
    assert (folder / "f").read_text() == "old"
    assert [each.name for each in folder.iterdir()] == ["f"]

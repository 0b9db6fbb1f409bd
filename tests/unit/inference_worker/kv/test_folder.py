"""One model's files: whole or not there, found when they come, refused when they are wrong."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from services.inference_worker.kv import folder as module
from services.inference_worker.kv.blocks import BLOCK, make_block, pack, root_key
from services.inference_worker.kv.disk import new_name
from services.inference_worker.kv.eviction import Rank
from services.inference_worker.kv.folder import ModelFolder
from services.inference_worker.kv.segment import Run
from tests.unit.inference_worker.kv.keeping import talk

ROOT = root_key("model")


def run(seed: int = 1, count: int = 3) -> Run:
    blocks, parent = [], ROOT
    for index in range(count):
        blocks.append(make_block(parent, index * BLOCK, pack(talk(seed + index, BLOCK))))
        parent = blocks[-1].key
    return Run(ROOT, tuple(blocks), tuple(bytes([index]) * 50 for index in range(count)))


def test_what_one_writes_another_finds_and_reads(tmp_path: Path) -> None:
    writer, reader = ModelFolder(tmp_path / "m", ROOT), ModelFolder(tmp_path / "m", ROOT)
    assert reader.scan() == ([], [])
    made = run()
    segment = writer.write(made, Rank.SUBAGENT, 5_000.0)
    (found,), gone = reader.scan()
    assert not gone
    assert (found.name, found.rank, found.blocks) == (segment.name, Rank.SUBAGENT, made.blocks)
    assert [reader.read(found, index) for index in range(3)] == list(made.states)
    path = tmp_path / "m" / segment.name
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_mtime == 5_000.0
    assert (tmp_path / "m").stat().st_mode & 0o777 == 0o700
    assert list((tmp_path / "m").iterdir()) == [path]


def test_a_second_file_within_the_same_tick_is_found(tmp_path: Path) -> None:
    writer, reader = ModelFolder(tmp_path / "m", ROOT), ModelFolder(tmp_path / "m", ROOT)
    writer.write(run(1), Rank.MAIN, 1.0)
    when = (tmp_path / "m").stat()
    assert len(reader.scan()[0]) == 1
    writer.write(run(9), Rank.MAIN, 1.0)
    os.utime(tmp_path / "m", ns=(when.st_atime_ns, when.st_mtime_ns))
    assert len(reader.scan()[0]) == 1


def test_an_unchanged_folder_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, reader = ModelFolder(tmp_path / "m", ROOT), ModelFolder(tmp_path / "m", ROOT)
    writer.write(run(1), Rank.MAIN, 1.0)
    os.utime(tmp_path / "m", (1_000.0, 1_000.0))
    assert len(reader.scan()[0]) == 1
    monkeypatch.setattr(module.os, "scandir", None)
    assert reader.scan() == ([], [])


def test_what_was_deleted_is_told_and_read_as_lost(tmp_path: Path) -> None:
    here, there = ModelFolder(tmp_path / "m", ROOT), ModelFolder(tmp_path / "m", ROOT)
    segment = here.write(run(), Rank.MAIN, 1.0)
    assert here.know(segment)
    assert not here.know(segment)
    (found,), _ = there.scan()
    there.delete(found)
    assert here.read(segment, 0) is None
    assert here.refused == 0
    assert here.scan()[1] == [segment]
    assert here.segments == {}
    there.delete(found)


def test_a_cleared_cache_is_begun_anew(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path / "m", ROOT)
    segment = folder.write(run(), Rank.MAIN, 1.0)
    folder.know(segment)
    (tmp_path / "m" / segment.name).unlink()
    (tmp_path / "m").rmdir()
    assert folder.scan() == ([], [segment])
    assert (tmp_path / "m").stat().st_mode & 0o777 == 0o700


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ModelFolder(tmp_path / "m", ROOT)

    def full(file: int, times: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "utime", full)
    with pytest.raises(OSError, match="space"):
        folder.write(run(), Rank.MAIN, 1.0)
    assert list((tmp_path / "m").iterdir()) == []


def test_use_is_noted_in_the_files_time(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path / "m", ROOT)
    segment = folder.write(run(), Rank.MAIN, 1.0)
    folder.touch({segment.name: 77.0, "gone.kv": 78.0})
    assert (tmp_path / "m" / segment.name).stat().st_mtime == 77.0


def strange_name(path: Path) -> None:
    (path / "strange.kv").write_bytes(b"x")


def strange_content(path: Path) -> None:
    (path / new_name(Rank.MAIN, 0)).write_bytes(b"x" * 1_000)


def empty(path: Path) -> None:
    (path / new_name(Rank.MAIN, 0)).write_bytes(b"")


def link(path: Path) -> None:
    (path.parent / "outside").write_bytes(b"x" * 1_000)
    (path / new_name(Rank.MAIN, 0)).symlink_to(path.parent / "outside")


def pipe(path: Path) -> None:
    os.mkfifo(path / new_name(Rank.MAIN, 0))


def foreign(path: Path) -> None:
    ModelFolder(path, root_key("other")).write(
        Run(root_key("other"), run().blocks, run().states), Rank.MAIN, 1.0
    )


@pytest.mark.parametrize("put", [strange_name, strange_content, empty, link, pipe, foreign])
def test_what_is_not_ours_is_refused_and_deleted(tmp_path: Path, put: Callable[[Path], None]) -> None:
    folder = ModelFolder(tmp_path / "m", ROOT)
    put(tmp_path / "m")
    assert folder.scan()[0] == []
    assert folder.refused == 1
    assert list((tmp_path / "m").iterdir()) == []
    assert folder.scan()[0] == []
    assert folder.refused == 1
    if put is link:
        assert (tmp_path / "outside").exists()


def test_what_cannot_be_read_now_is_not_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, reader = ModelFolder(tmp_path / "m", ROOT), ModelFolder(tmp_path / "m", ROOT)
    segment = writer.write(run(), Rank.MAIN, 1.0)

    def no_more(path: Path, flags: int) -> int:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "open", no_more)
        assert writer.read(segment, 0) is None
        assert reader.scan() == ([], [])
    assert writer.read(segment, 0) == run().states[0]
    assert (writer.refused, reader.refused) == (0, 0)


def test_what_cannot_be_deleted_is_refused_once(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path / "m", ROOT)
    (tmp_path / "m" / new_name(Rank.MAIN, 0)).mkdir()
    for _ in range(3):
        assert folder.scan() == ([], [])
    assert folder.refused == 1


def corrupt(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        _flip(file, at)


def _flip(file: BinaryIO, at: int) -> None:
    file.seek(at)
    byte = file.read(1)[0]
    file.seek(at)
    file.write(bytes([byte ^ 0x10]))


def test_a_damaged_payload_is_never_given(tmp_path: Path) -> None:
    made = run(count=2)
    for at in range(-sum(map(len, made.states)), 0):
        folder = ModelFolder(tmp_path / "m", ROOT)
        segment = folder.write(made, Rank.MAIN, 1.0)
        folder.know(segment)
        corrupt(tmp_path / "m" / segment.name, segment.size + at)
        damaged = 0 if at < -50 else 1
        if damaged:
            assert folder.read(segment, 0) == made.states[0]
        assert folder.read(segment, damaged) is None
        assert folder.refused == 1
        assert list((tmp_path / "m").iterdir()) == []


def test_a_file_cut_off_after_it_was_found_is_refused(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path / "m", ROOT)
    made = run()
    for size in (0, 100, 400, -1):
        segment = folder.write(made, Rank.MAIN, 1.0)
        path = tmp_path / "m" / segment.name
        os.truncate(path, size if size >= 0 else segment.size - 1)
        assert folder.read(segment, 0) is None
        assert not path.exists()
    assert folder.refused == 4

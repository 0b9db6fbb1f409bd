"""The folder of all models: room, order, leftovers."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from services.inference_worker.kv.disk import UNFINISHED, DiskTier, new_name, rank_of
from services.inference_worker.kv.eviction import PIN_SECONDS, Rank

NOW = 1_000_000.0


def put(root: Path, model: str, size: int, used: float, rank: Rank = Rank.MAIN, start: int = 0) -> Path:
    path = root / model / new_name(rank, start)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bytes(size))
    os.utime(path, (used, used))
    return path


def opened(root: Path, limit: int) -> DiskTier:
    tier = DiskTier(root, limit)
    tier.open()
    return tier


def room(tier: DiskTier, size: int, asker: Rank = Rank.MAIN, protected: tuple[Path, ...] = ()) -> bool:
    return tier.make_room(size, asker, NOW, {}, {str(path) for path in protected})


def test_names_tell_the_rank() -> None:
    for rank in Rank:
        assert rank_of(new_name(rank, 640)) is rank
    assert rank_of("7-00000000-000000000000000000000000.kv") is None
    assert rank_of("../2-00000000-000000000000000000000000.kv") is None
    assert new_name(Rank.SIDE, 0) != new_name(Rank.SIDE, 0)


@pytest.mark.parametrize(("limit", "queue", "name"), [(0, 1, "limit"), (1, 0, "queue"), (-1, 1, "limit")])
def test_sizes_must_be_positive(tmp_path: Path, limit: int, queue: int, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        DiskTier(tmp_path, limit, queue)


def test_the_folder_is_private(tmp_path: Path) -> None:
    opened(tmp_path / "deep" / "kv", 100)
    assert (tmp_path / "deep" / "kv").stat().st_mode & 0o777 == 0o700


def test_the_oldest_file_of_any_model_goes(tmp_path: Path) -> None:
    tier = opened(tmp_path, 100)
    old = put(tmp_path, "other", 40, NOW - 3 * PIN_SECONDS)
    older = put(tmp_path, "mine", 40, NOW - 4 * PIN_SECONDS)
    assert room(tier, 20)
    assert older.exists()
    assert room(tier, 21)
    assert not older.exists()
    assert old.exists()
    assert (tier.used, tier.evicted) == (40, 1)


def test_side_files_go_first_and_leaves_before_parents(tmp_path: Path) -> None:
    tier = opened(tmp_path, 100)
    first = put(tmp_path, "m", 25, NOW - 9_999, start=0)
    second = put(tmp_path, "m", 25, NOW - 9_999, start=64)
    side = put(tmp_path, "m", 25, NOW, Rank.SIDE)
    sub = put(tmp_path, "m", 25, NOW, Rank.SUBAGENT)
    for size, gone in ((1, side), (26, sub), (51, second), (76, first)):
        assert gone.exists()
        assert room(tier, size)
        assert not gone.exists()


def test_only_a_main_conversation_evicts_what_main_conversations_use(tmp_path: Path) -> None:
    tier = opened(tmp_path, 100)
    put(tmp_path, "m", 60, NOW - PIN_SECONDS + 1)
    assert not room(tier, 50, Rank.SUBAGENT)
    assert not room(tier, 50, Rank.SIDE)
    assert room(tier, 50, Rank.MAIN)


def test_what_is_known_beyond_the_name_counts(tmp_path: Path) -> None:
    tier = opened(tmp_path, 100)
    raised = put(tmp_path, "m", 50, NOW - 9_999, Rank.SIDE)
    side = put(tmp_path, "m", 50, NOW, Rank.SIDE)
    assert tier.make_room(50, Rank.MAIN, NOW, {str(raised): Rank.MAIN}, ())
    assert raised.exists()
    assert not side.exists()


def test_the_chain_that_is_written_stays(tmp_path: Path) -> None:
    tier = opened(tmp_path, 100)
    parent = put(tmp_path, "m", 60, NOW - 9_999)
    assert not room(tier, 50, protected=(parent,))
    assert parent.exists()
    assert not room(tier, 101)


def test_what_a_writer_is_writing_counts_but_does_not_go(tmp_path: Path) -> None:
    tier = opened(tmp_path, 100)
    unfinished = put(tmp_path, "m", 60, NOW).rename(tmp_path / "m" / (new_name(Rank.MAIN, 0) + UNFINISHED))
    assert not room(tier, 50)
    assert unfinished.exists()
    assert tier.used == 60


def test_strangers_are_left_alone_and_not_counted(tmp_path: Path) -> None:
    tier = opened(tmp_path, 100)
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "README").write_bytes(bytes(90))
    (tmp_path / "loose.kv").write_bytes(bytes(90))
    (tmp_path / "m" / "folder.kv").mkdir()
    assert room(tier, 100)
    assert tier.used == 0


def test_only_dead_writers_leftovers_are_removed(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    dead, alive = (tmp_path / "m" / (new_name(Rank.MAIN, 0) + UNFINISHED) for _ in range(2))
    dead.write_bytes(b"half")
    alive.write_bytes(b"half")
    with alive.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        opened(tmp_path, 100)
        assert not dead.exists()
        assert alive.exists()
    opened(tmp_path, 100)
    assert not alive.exists()


def test_a_leftover_that_cannot_be_removed_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    link = tmp_path / "m" / ("link" + UNFINISHED)
    link.symlink_to(tmp_path / "elsewhere")
    opened(tmp_path, 100)
    assert link.is_symlink()

"""One holder at a time, no file left, and a lock on a removed file is not believed."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from services.cli import locks


def test_is_held_says_so_and_makes_no_file(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not locks.is_held(path)
    assert not path.exists()
    descriptor = locks.take(path)
    assert locks.is_held(path)
    os.close(descriptor)
    assert not locks.is_held(path)


def test_turns_are_taken_one_after_the_other_and_leave_no_file(tmp_path: Path) -> None:
    path, told, entered = tmp_path / "lock", threading.Event(), threading.Event()

    def second() -> None:
        with locks.turn(path, told.set):
            entered.set()

    with locks.turn(path, lambda: None):
        other = threading.Thread(target=second)
        other.start()
        assert told.wait(10)
        assert not entered.is_set()
    assert entered.wait(10)
    other.join()
    assert not path.exists()


def test_who_waited_for_a_file_that_was_removed_takes_the_new_one(tmp_path: Path) -> None:
    path, taken = tmp_path / "lock", []
    first = locks.take(path)
    waiting = threading.Thread(target=lambda: taken.append(locks.take(path)))
    waiting.start()
    path.unlink()
    os.close(first)
    waiting.join(10)
    assert os.fstat(taken[0]).st_ino == path.stat().st_ino
    os.close(taken[0])

from __future__ import annotations

import random
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.common.errors import Reason, SwarmError
from services.tool_server import journal as module
from services.tool_server.journal import KEPT, Journal, Known
from services.tool_server.outcome import Outcome

DONE = Outcome("made it\n", exit_code=0)
AGAIN = Outcome("made it\n", exit_code=0, replayed=True)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def opened(path: Path, clock: Clock | None = None, largest: int = module.LARGEST) -> Iterator[Journal]:
    journal = Journal(path, clock or Clock(), largest)
    try:
        yield journal
    finally:
        journal.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "calls.sqlite"


def refusal(path: Path, key: str = "a") -> str:
    with opened(path) as journal, pytest.raises(SwarmError) as caught:
        journal.begin(key, "d")
    assert caught.value.reason is Reason.JOURNAL_UNAVAILABLE
    assert str(path) in caught.value.message
    return caught.value.message


class TestStates:
    def test_a_new_key_may_run_and_an_old_one_may_not(self, path: Path) -> None:
        with opened(path) as journal:
            assert journal.begin("a", "d") is None
            assert journal.begin("a", "d") == Known("d", None)
            assert journal.begin("b", "d") is None

    def test_an_ended_key_gives_its_outcome(self, path: Path) -> None:
        with opened(path) as journal:
            journal.begin("a", "d")
            journal.finish("a", DONE)
            assert journal.begin("a", "other") == Known("d", AGAIN)

    def test_all_of_it_outlives_the_process(self, path: Path) -> None:
        failed = Outcome("Error: \u2028 \ud800 no", Reason.TOOL_FAILED, truncated=True)
        with opened(path) as journal:
            journal.begin("a", "d1")
            journal.begin("b", "d2")
            journal.finish("b", failed)
        with opened(path) as journal:
            assert journal.begin("a", "d1") == Known("d1", None)
            assert journal.begin("b", "d2") == Known(
                "d2", Outcome(failed.content, failed.reason, None, True, replayed=True)
            )

    def test_an_outcome_is_written_once_and_only_for_what_began(self, path: Path) -> None:
        with opened(path) as journal:
            with pytest.raises(KeyError):
                journal.finish("a", DONE)
            journal.begin("a", "d")
            journal.finish("a", DONE)
            with pytest.raises(KeyError):
                journal.finish("a", Outcome("another"))
            assert journal.begin("a", "d") == Known("d", AGAIN)

    def test_it_is_private(self, path: Path) -> None:
        with opened(path) as journal:
            journal.begin("a", "d")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_two_processes_do_not_share_it(self, path: Path) -> None:
        with opened(path) as first:
            first.begin("a", "d")
            assert "locked" in refusal(path)
        with opened(path) as second:
            assert second.begin("a", "d") == Known("d", None)

    def test_one_that_cannot_be_written_says_so_and_works_again_afterwards(self, path: Path) -> None:
        path.mkdir(parents=True)
        with opened(path) as journal:
            with pytest.raises(SwarmError, match="cannot be used"):
                journal.begin("a", "d")
            path.rmdir()
            assert journal.begin("a", "d") is None


class TestBounds:
    def test_calls_are_forgotten_after_a_day_and_not_before(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_TIDY_EVERY", 1)
        clock = Clock()
        with opened(path, clock) as journal:
            journal.begin("running", "d")
            journal.begin("ended", "d")
            journal.finish("ended", DONE)
            clock.now += KEPT - 1
            journal.begin("x", "d")
            assert journal.begin("running", "d") == Known("d", None)
            assert journal.begin("ended", "d") == Known("d", AGAIN)
            clock.now += 2
            journal.begin("y", "d")
            assert journal.begin("ended", "d") is None

    def test_the_oldest_results_go_first_but_never_that_they_ran(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_TIDY_EVERY", 1)
        clock = Clock()
        with opened(path, clock, largest=5_000) as journal:
            journal.begin("running", "d")
            for name in ("old", "middle", "new"):
                clock.now += 1
                journal.begin(name, "d")
                journal.finish(name, Outcome("x" * 2_000, Reason.TOOL_FAILED, 3))
            journal.begin("z", "d")
            known = journal.begin("old", "d")
            assert known is not None
            assert known.outcome is not None
            assert (known.outcome.reason, known.outcome.exit_code) == (Reason.TOOL_FAILED, 3)
            assert "no longer kept" in known.outcome.content
            for name in ("middle", "new"):
                known = journal.begin(name, "d")
                assert known is not None
                assert known.outcome is not None
                assert known.outcome.content == "x" * 2_000
            assert journal.begin("running", "d") == Known("d", None)

    def test_one_overlong_result_is_cut(self, path: Path) -> None:
        with opened(path) as journal:
            journal.begin("a", "d")
            journal.finish("a", Outcome("x" * (module.LONGEST + 1)))
            known = journal.begin("a", "d")
        assert known is not None
        assert known.outcome is not None
        assert known.outcome.truncated
        assert known.outcome.content.endswith("x\n[the rest of this result was not kept]")

    def test_the_file_does_not_grow_for_ever(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_TIDY_EVERY", 4)
        clock = Clock()
        sizes = []
        with opened(path, clock, largest=20_000) as journal:
            for turn in range(60):
                clock.now += KEPT / 10
                journal.begin(str(turn), "d")
                journal.finish(str(turn), Outcome("x" * 4_000))
                sizes.append(path.stat().st_size)
        assert max(sizes[30:]) <= max(sizes[:30])


class TestDamage:
    KEYS = tuple(f"key-{number}" for number in range(25))

    @pytest.fixture
    def written(self, path: Path) -> Path:
        with opened(path) as journal:
            for key in self.KEYS:
                journal.begin(key, "digest of " + key)
                if key != "key-7":
                    journal.finish(key, Outcome(f"{key} said " + "x" * 300))
        return path

    def known(self, path: Path) -> list[Known | None]:
        with opened(path) as journal:
            return [journal.begin(key, "another") for key in self.KEYS]

    def test_a_changed_byte_is_found_or_changes_nothing(self, written: Path, tmp_path: Path) -> None:
        expected, whole, copy = self.known(written), written.read_bytes(), tmp_path / "copy.sqlite"
        found = 0
        generator = random.Random(11)
        for _ in range(250):
            place = generator.randrange(len(whole))
            changed = bytearray(whole)
            changed[place] ^= generator.randrange(1, 256)
            copy.write_bytes(changed)
            try:
                known = self.known(copy)
            except SwarmError:
                found += 1
            else:
                assert known == expected, place
        assert found > 60

    def test_a_lost_tail_is_found(self, written: Path, tmp_path: Path) -> None:
        whole, copy = written.read_bytes(), tmp_path / "copy.sqlite"
        generator = random.Random(12)
        for length in [0, 1, 99, 4096, len(whole) - 4096, len(whole) - 1] + [
            generator.randrange(len(whole)) for _ in range(30)
        ]:
            copy.write_bytes(whole[:length])
            assert "cannot be used" in refusal(copy), length
            assert copy.stat().st_size == length

    def test_a_tail_of_zeros_is_found(self, written: Path) -> None:
        whole = written.read_bytes()
        for pages in (1, 2):
            written.write_bytes(whole[: -4096 * pages] + bytes(4096 * pages))
            refusal(written)

    def test_it_goes_on_once_the_damaged_file_is_away(self, written: Path) -> None:
        whole = written.read_bytes()
        written.write_bytes(b"no database" * 1000)
        with opened(written) as journal:
            for _ in range(2):
                with pytest.raises(SwarmError):
                    journal.begin("a", "d")
            written.write_bytes(whole)
            assert journal.begin("key-7", "d") == Known("digest of key-7", None)

    def test_an_unfinished_transaction_is_taken_back_whole(self, written: Path, tmp_path: Path) -> None:
        # What a process leaves that is killed inside of a transaction that already reached the file.
        expected, copy = self.known(written), tmp_path / "copy.sqlite"
        other = sqlite3.connect(written, isolation_level=None)
        other.execute("PRAGMA cache_spill = 1")
        other.execute("PRAGMA cache_size = 1")
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE calls SET outcome = outcome || 'y'")
        journal_file = written.with_name(written.name + "-journal")
        assert journal_file.stat().st_size > 0
        shutil.copy(written, copy)
        shutil.copy(journal_file, copy.with_name(copy.name + "-journal"))
        other.execute("ROLLBACK")
        other.close()
        assert self.known(copy) == expected

    def test_another_version_is_refused(self, written: Path) -> None:
        database = sqlite3.connect(written)
        database.execute("PRAGMA user_version = 9")
        database.close()
        assert "version 9" in refusal(written)

    def test_one_that_was_never_whole_is_begun_anew(self, path: Path) -> None:
        path.parent.mkdir()
        path.with_name(path.name + ".new").write_bytes(b"half")
        with opened(path) as journal:
            assert journal.begin("a", "d") is None

"""Several worker processes over one folder."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.inference_worker.kv.disk import DiskTier
from services.inference_worker.kv.eviction import Owner
from services.inference_worker.kv.store import KvStore
from tests.unit.inference_worker.kv.keeping import FINGERPRINT, check, keep, talk

WAIT = 60.0


class Second:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        print(line, file=self.process.stdin, flush=True)

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, line: str) -> str:
        self.say(line)
        return self.hear()


@contextmanager
def second_worker(folder: Path, limit: int) -> Iterator[Second]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.unit.inference_worker.kv.second_worker", str(folder), str(limit)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Second(process)
        finally:
            process.kill()


def test_each_finds_what_the_other_keeps_and_survives_what_it_deletes(tmp_path: Path) -> None:
    limit = 200_000
    store = KvStore(FINGERPRINT, 0, DiskTier(tmp_path, limit))
    with second_worker(tmp_path, limit) as second:
        mine, theirs = talk(1, 500), talk(2, 500)
        assert store.longest(theirs, 500).length == 0
        assert second.ask("keep 2 500 5000") == "True"
        found = check(store, theirs, size=5_000)
        assert found.length == 500
        keep(store, mine, Owner("mine"), 5_000)
        assert store.flush(WAIT)
        assert second.ask("count 1 500 5000") == "500"
        # The other needs the room: what this one believes to have goes.
        for seed in range(10, 16):
            assert second.ask(f"keep {seed} 500 5000") == "True"
        assert store.read(found.blocks[0]) is None
        assert check(store, theirs, size=5_000).length == 0
        assert check(store, talk(15, 500), size=5_000).length == 500
        status = store.status().disk
        assert status is not None
        assert status.refused == 0
        second.say("end")
        assert second.process.wait(WAIT) == 0
    store.close(WAIT)


def test_two_that_write_and_delete_at_once_never_read_a_wrong_byte(tmp_path: Path) -> None:
    """Both keep far more than fits, and read all the time what the other may just be deleting."""
    limit = 400_000
    store = KvStore(FINGERPRINT, 20_000, DiskTier(tmp_path, limit))
    read = 0
    with second_worker(tmp_path, limit) as second:
        for seed in range(100, 160):
            second.say(f"keep {seed} 400 5000")
            # Two are always under way there.
            assert seed < 102 or second.hear() == "True"
            keep(store, talk(seed - 50, 400), Owner(str(seed)), 5_000)
            for other in range(max(100, seed - 8), seed):
                read += check(store, talk(other, 400), size=5_000).length
        assert [second.hear(), second.hear()] == ["True"] * 2
        assert second.ask("count 159 400 5000") == "400"
    assert store.flush(WAIT)
    assert read > 0
    status = store.status().disk
    assert status is not None
    assert status.refused == 0
    store.close(WAIT)
    # Each looks at the sum before it writes, so both together may be over it by what they were writing.
    assert sum(path.stat().st_size for path in tmp_path.glob("*/*")) <= limit + 2 * 60_000

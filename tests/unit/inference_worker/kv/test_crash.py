"""kill -9 while state is saved leaves no bad entry, and loses nothing that had been flushed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from services.inference_worker.kv.disk import UNFINISHED, DiskTier
from services.inference_worker.kv.store import KvStore
from tests.unit.inference_worker.kv.keeping import FINGERPRINT, check, talk
from tests.unit.inference_worker.kv.test_sharing import second_worker

LIMIT = 1 << 30

# What a kill between any two effects of a write leaves: the nth of these calls is the process's last.
KILLED_AT = """
import os, signal, sys
from services.inference_worker.kv import folder
from tests.unit.inference_worker.kv import second_worker

last, name = int(sys.argv.pop()), sys.argv.pop()
really, calls = getattr(folder.{owner}, name), 0

def counted(*values, **options):
    global calls
    calls += 1
    if calls == last:
        os.kill(os.getpid(), signal.SIGKILL)
    return really(*values, **options)

setattr(folder.{owner}, name, counted)
second_worker.main()
"""


def check_after(folder: Path, flushed: list[int]) -> int:
    """Opens what a dead worker has left. The number of tokens found beyond those that were flushed."""
    store = KvStore(FINGERPRINT, 0, DiskTier(folder, LIMIT))
    for seed in flushed[-5:]:
        assert check(store, talk(seed, 500), size=400_000).length == 500
    following = flushed[-1] + 1 if flushed else 1
    more = check(store, talk(following, 500), size=400_000).length
    status = store.status().disk
    store.close(60)
    assert status is not None
    assert status.refused == 0
    assert not list(unfinished(folder))
    return more


@pytest.mark.parametrize("seed", range(12))
def test_killed_in_the_midst_of_a_file(tmp_path: Path, seed: int) -> None:
    written = Random(seed).randrange(2_500_000)
    with second_worker(tmp_path, LIMIT) as second:
        second.say("forever 1")
        while not any(size >= written for size in unfinished(tmp_path)):
            assert second.process.poll() is None
        second.process.kill()
        assert second.process.stdout is not None
        flushed = [int(line) for line in second.process.stdout if line.endswith("\n")]
    check_after(tmp_path, flushed)


def unfinished(folder: Path) -> Iterator[int]:
    """The bytes written so far of the files that are being written."""
    for path in folder.glob(f"*/*{UNFINISHED}"):
        with suppress(FileNotFoundError):
            yield path.stat().st_size


@pytest.mark.parametrize(
    ("owner", "name", "last", "more"),
    [
        ("fcntl", "flock", 1, 0),
        ("os", "utime", 1, 0),
        ("Path", "rename", 1, 0),
        ("fcntl", "flock", 2, 448),
        ("Path", "rename", 2, 448),
    ],
)
def test_killed_between_any_two_effects(tmp_path: Path, owner: str, name: str, last: int, more: int) -> None:
    process = subprocess.run(
        [sys.executable, "-c", KILLED_AT.format(owner=owner), str(tmp_path), str(LIMIT), name, str(last)],
        input="forever 1\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode == -9, process.stderr
    assert len(list(unfinished(tmp_path))) == 1
    assert check_after(tmp_path, []) == more

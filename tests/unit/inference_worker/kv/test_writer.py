"""The writer's queue and its thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.inference_worker.kv.blocks import BLOCK, Block, make_block, pack, root_key
from services.inference_worker.kv.disk import DiskTier
from services.inference_worker.kv.eviction import Rank
from services.inference_worker.kv.folder import ModelFolder
from services.inference_worker.kv.segment import Run, Segment
from services.inference_worker.kv.tree import Node
from services.inference_worker.kv.writer import Job, Writer
from tests.unit.inference_worker.kv.keeping import talk

ROOT = root_key("model")
SIZE = 100
WAIT = 20.0


class Rig:
    """A writer whose thread waits at each file until it is let through."""

    def __init__(self, path: Path, limit: int = 100_000, queue: int = 3 * SIZE) -> None:
        self.tier = DiskTier(path, limit, queue)
        self.tier.open()
        self.folder = ModelFolder(path / "m", ROOT)
        self.writer = Writer(self.tier, self.folder)
        self.gate = threading.Event()
        self.began = threading.Event()
        self.error: Exception | None = None
        self.order: list[int] = []
        really = self.folder.write

        def write(run: Run, rank: Rank, used: float) -> Segment:
            self.began.set()
            assert self.gate.wait(WAIT)
            if self.error is not None:
                raise self.error
            self.order.append(run.blocks[0].start)
            return really(run, rank, used)

        self.folder.write = write  # type: ignore[method-assign]

    def job(self, block: Block, commit: int = 1, size: int = SIZE) -> Job:
        node = Node(block, pack(block.tokens))
        run = Run(ROOT, (block,), (bytes(size),))
        return Job(commit, (node,), run, Rank.MAIN, 1_000.0, frozenset())

    def chain(self, count: int) -> list[Block]:
        blocks, parent = [], ROOT
        for index in range(count):
            blocks.append(make_block(parent, index * BLOCK, pack(talk(index, BLOCK))))
            parent = blocks[-1].key
        return blocks

    def files(self) -> int:
        return len(list((self.tier.root / "m").iterdir()))


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.gate.set()
    made.writer.close(WAIT)


def test_no_thread_without_work(rig: Rig) -> None:
    assert rig.writer.flush(0)
    assert rig.writer._thread is None


def test_files_are_written_in_order(rig: Rig) -> None:
    rig.gate.set()
    for block in rig.chain(3):
        assert rig.writer.offer(rig.job(block))
    assert rig.writer.flush(WAIT)
    assert rig.order == [0, 64, 128]
    done = rig.writer.take_done()
    assert [each.segment is not None for each in done] == [True] * 3
    assert rig.writer.take_done() == []
    assert rig.writer.queued == 0
    assert rig.tier.used == sum(each.segment.size for each in done if each.segment)


def test_the_queue_is_bounded_by_bytes(rig: Rig) -> None:
    blocks = rig.chain(4)
    assert [rig.writer.offer(rig.job(block)) for block in blocks] == [True, True, True, False]
    assert rig.writer.queued == 3 * SIZE
    assert not rig.writer.flush(0)
    rig.gate.set()
    assert rig.writer.flush(WAIT)
    assert rig.writer.offer(rig.job(blocks[3]))


def test_one_job_beyond_the_bound_is_taken_when_nothing_waits(rig: Rig) -> None:
    first, second = rig.chain(2)
    assert rig.writer.offer(rig.job(first, size=10 * SIZE))
    assert not rig.writer.offer(rig.job(second))


def test_what_builds_on_what_was_not_written_is_not_written(rig: Rig) -> None:
    rig.error = OSError(28, "No space left on device")
    blocks = rig.chain(3)
    rig.writer.offer(rig.job(blocks[0]))
    assert rig.began.wait(WAIT)
    rig.gate.set()
    assert rig.writer.flush(WAIT)
    rig.error = None
    rig.writer.offer(rig.job(blocks[1]))
    rig.writer.offer(rig.job(blocks[2]))
    assert rig.writer.flush(WAIT)
    assert [each.segment for each in rig.writer.take_done()] == [None] * 3
    assert rig.files() == 0
    rig.writer.offer(rig.job(blocks[0], commit=2))
    assert rig.writer.flush(WAIT)
    assert rig.files() == 1


def test_a_file_does_not_push_out_what_its_own_commit_has_written(tmp_path: Path) -> None:
    rig = Rig(tmp_path, limit=1_000, queue=1_000)
    rig.gate.set()
    blocks = rig.chain(2)
    rig.writer.offer(rig.job(blocks[0], size=500))
    rig.writer.offer(rig.job(blocks[1], size=500))
    rig.writer.flush(WAIT)
    assert [each.segment is not None for each in rig.writer.take_done()] == [True, False]
    rig.writer.offer(rig.job(blocks[1], commit=2, size=500))
    rig.writer.flush(WAIT)
    assert rig.tier.evicted == 1
    rig.writer.close(WAIT)


def test_uses_are_noted(rig: Rig) -> None:
    rig.gate.set()
    rig.writer.offer(rig.job(rig.chain(1)[0]))
    rig.writer.flush(WAIT)
    (done,) = rig.writer.take_done()
    assert done.segment is not None
    rig.writer.touch({done.segment.name: 4_321.0})
    assert rig.writer.flush(WAIT)
    assert (rig.folder.path / done.segment.name).stat().st_mtime == 4_321.0


def test_closing_waits_for_what_is_queued(rig: Rig) -> None:
    for block in rig.chain(3):
        rig.writer.offer(rig.job(block))
    rig.gate.set()
    rig.writer.close(WAIT)
    assert rig.files() == 3
    assert not rig.writer.offer(rig.job(rig.chain(1)[0]))
    assert rig.writer._thread is not None
    assert not rig.writer._thread.is_alive()


def test_closing_waits_no_longer_than_it_may(rig: Rig) -> None:
    for block in rig.chain(3):
        rig.writer.offer(rig.job(block))
    assert rig.began.wait(WAIT)
    rig.writer.close(0.01)
    rig.gate.set()
    rig.writer.close(WAIT)
    assert rig.order == [0]
    assert [each.segment is not None for each in rig.writer.take_done()] == [True, False, False]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_nobody_waits_for_a_thread_that_a_mistake_has_ended(rig: Rig) -> None:
    rig.error = KeyError("a mistake")
    blocks = rig.chain(3)
    rig.writer.offer(rig.job(blocks[0]))
    rig.writer.offer(rig.job(blocks[1]))
    rig.gate.set()
    assert rig.writer.flush(WAIT)
    assert not rig.writer.offer(rig.job(blocks[2]))

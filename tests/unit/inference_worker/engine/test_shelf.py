"""What was computed is kept and comes back: from cells, RAM and disk, for both kinds of reuse.

The toy model's answer depends on every cell, so each test that compares an answer would see wrong state.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from services.common.errors import Reason
from services.inference_worker.engine.jobs import Finish
from services.inference_worker.engine.scheduler import Limits, Priority
from services.inference_worker.engine.shelf import CHECKPOINT, Moved
from services.inference_worker.kv.blocks import BLOCK, Block
from services.inference_worker.kv.disk import DiskTier
from services.inference_worker.kv.eviction import Owner
from services.inference_worker.kv.status import Tier
from services.inference_worker.kv.store import KvStore
from tests.fakes.backend import FakeBackend, ToyModel
from tests.unit.inference_worker.engine.rig import CANCELLED, Reader, Rig, drawn

MEGABYTE = 1 << 20


def text(name: str, length: int) -> str:
    """Reproducible, without repeats, different from the first token on."""
    words = "".join(f"{name} {number} " for number in range(length // (len(name) + 2) + 1))
    return words[:length]


def in_ram(backend: FakeBackend, ram: int = MEGABYTE, **more: float) -> Rig:
    limits = Limits(batch=backend.capacity.batch, headroom=4)
    return Rig(backend, limits, KvStore(backend.fingerprint, ram, None), **more)


class Disk:
    """Rigs one after another over one folder: each is a new process as far as the engine can tell."""

    def __init__(
        self, folder: Path, whole: bool = False, ram: int = MEGABYTE, limit: int = 64 * MEGABYTE
    ) -> None:
        self.folder = folder
        self.whole = whole
        self.ram = ram
        self.limit = limit
        self._stack = ExitStack()

    def start(self, fingerprint: str = "f" * 64) -> Rig:
        self.stop()
        backend = FakeBackend(cells=8192, batch=512, partial_prefix=not self.whole, fingerprint=fingerprint)
        store = KvStore(fingerprint, self.ram, DiskTier(self.folder, self.limit))
        rig = Rig(backend, Limits(batch=512, headroom=4), store)
        self._stack.callback(store.close, 5.0)
        self._stack.callback(rig.core.save_all)
        return rig

    def stop(self) -> None:
        self._stack.close()

    def files(self) -> list[Path]:
        return sorted(self.folder.rglob("*.kv"))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path)
    yield disk
    disk.stop()


@pytest.fixture
def whole_disk(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path, whole=True)
    yield disk
    disk.stop()


def next_turn(prompt: str, reader: Reader) -> str:
    return prompt + reader.text() + " and what about this?"


class TestTheNextTurn:
    def test_from_ram_when_its_cells_are_gone(self) -> None:
        rig = in_ram(FakeBackend(cells=4096))
        first = rig.answer(prompt := text("one", 300))
        rig.drop_live()
        before = rig.computed
        reader = rig.answer(second := next_turn(prompt, first))
        assert reader.text() == ToyModel().answer(second, 8)
        # All but the answer's last token, to the token: no rounding to blocks.
        assert reader.cached == 300 + 7
        assert rig.core.status().cached == Moved(ram=307)
        assert rig.computed - before == len(second) - 307 + 7
        rig.check_empty()

    def test_from_disk_in_a_new_process(self, disk: Disk) -> None:
        first = disk.start().answer(prompt := text("one", 300))
        rig = disk.start()
        reader = rig.answer(second := next_turn(prompt, first))
        assert reader.text() == ToyModel().answer(second, 8)
        assert rig.core.status().cached == Moved(disk=307)
        rig.check_empty()

    def test_from_disk_once_and_from_ram_then(self, disk: Disk) -> None:
        disk.start().answer(prompt := text("one", 300))
        rig = disk.start()
        rig.answer(prompt)
        rig.drop_live()
        rig.answer(prompt)
        assert rig.core.status().cached == Moved(disk=299, ram=299)

    def test_another_models_states_are_not_even_found(self, disk: Disk) -> None:
        disk.start().answer(prompt := text("one", 300))
        assert disk.start("0" * 64).answer(prompt).cached == 0
        assert disk.start().answer(prompt).cached == 299

    def test_of_an_edited_conversation_up_to_the_edit(self) -> None:
        rig = in_ram(FakeBackend(cells=4096))
        rig.answer(text("one", 300))
        rig.drop_live()
        edited = text("one", 150) + text("other", 100)
        reader = rig.answer(edited)
        assert reader.text() == ToyModel().answer(edited, 8)
        # Up to the token, in the middle of a block.
        assert reader.cached == 150

    def test_live_and_kept_state_are_put_together(self) -> None:
        """A short prefix is live in another request's sequence, the rest comes from RAM."""
        rig = in_ram(FakeBackend(cells=4096))
        rig.answer(prompt := text("one", 300))
        rig.drop_live()
        _, running = rig.submit(text("one", 100) + "!", max_tokens=60)
        rig.step(3)
        reader = rig.answer(prompt)
        assert reader.text() == ToyModel().answer(prompt, 8)
        assert running.text() == ToyModel().answer(text("one", 100) + "!", 60)
        status = rig.core.status()
        assert (status.cached.live, reader.cached) == (64, 299)

    def test_relieved_of_idle_cells_beside_others(self) -> None:
        """Long idle prefixes make every step of the others slower: they are saved and leave the cells."""
        rig = in_ram(FakeBackend(sequences=4, cells=8192, batch=512))
        first = rig.answer(prompt := text("one", 2000))
        assert rig.backend.cells_used > 2000
        rig.submit("another request", max_tokens=10)
        rig.step()
        assert rig.backend.cells_used < 50
        rig.run()
        reader = rig.answer(second := next_turn(prompt, first))
        assert reader.text() == ToyModel().answer(second, 8)
        assert rig.core.status().cached.ram == 2007

    def test_an_unsaved_prefix_that_must_go_is_saved_first(self) -> None:
        rig = in_ram(FakeBackend(sequences=2, cells=8192))
        # It is over while the other one runs, and there is no time to save beside that (the clock stands).
        rig.submit(text("long", 100), max_tokens=200)
        rig.step(4)
        rig.submit(prompt := text("one", 300), max_tokens=2)
        rig.step(10)
        assert rig.core.status().store.ram.blocks == 0
        rig.submit(text("two", 300), max_tokens=2)
        rig.step()
        assert rig.core.status().store.ram.blocks == 5
        rig.run()
        assert rig.answer(prompt).cached == 299

    def test_a_running_requests_prompt_is_saved_while_it_answers(self, disk: Disk) -> None:
        """A process that dies in the middle of a long answer does not lose the prompt."""
        rig = disk.start()
        rig.core._clock = lambda: 0.0
        rig.submit(prompt := text("one", 300), max_tokens=500)
        rig.step(3)
        rig.core._credit = 1.0
        rig.step(10)
        rig.store.flush(5.0)
        # Nothing is saved at the end: it is killed.
        disk._stack.pop_all()
        rig.store.close(5.0)
        assert disk.start().answer(prompt).cached == 4 * BLOCK


class TestDamage:
    @pytest.mark.parametrize("block", [0, 2, 4])
    def test_a_block_that_is_lost_on_the_way_is_computed(
        self, block: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rig = in_ram(FakeBackend(cells=4096))
        rig.answer(prompt := text("one", 300))
        rig.drop_live()
        read = rig.store.read

        def lossy(wanted: Block) -> tuple[bytes, Tier] | None:
            return None if wanted.start == block * BLOCK else read(wanted)

        monkeypatch.setattr(rig.store, "read", lossy)
        reader = rig.answer(prompt)
        assert reader.text() == ToyModel().answer(prompt, 8)
        assert reader.cached == block * BLOCK
        rig.check_empty()

    @pytest.mark.parametrize("block", [0, 2, 4])
    def test_a_block_that_the_backend_refuses_is_computed(
        self, block: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rig = in_ram(FakeBackend(cells=4096))
        rig.answer(prompt := text("one", 300))
        rig.drop_live()
        read = rig.store.read

        def damaged(wanted: Block) -> tuple[bytes, Tier] | None:
            return (b"no state", Tier.RAM) if wanted.start == block * BLOCK else read(wanted)

        monkeypatch.setattr(rig.store, "read", damaged)
        reader = rig.answer(prompt)
        assert reader.text() == ToyModel().answer(prompt, 8)
        assert reader.cached == block * BLOCK
        rig.check_empty()

    @pytest.mark.parametrize("whole", [False, True])
    @pytest.mark.parametrize("at", [0.0, 0.3, 0.6, 0.999])
    def test_damaged_files_are_refused_and_deleted(self, tmp_path: Path, whole: bool, at: float) -> None:
        disk = Disk(tmp_path, whole)
        first = disk.start().answer(text("one", 700))
        disk.stop()
        prompt = next_turn(text("one", 700), first)
        for file in disk.files():
            with file.open("r+b") as opened:
                opened.seek(int(at * file.stat().st_size))
                byte = opened.read(1)
                opened.seek(-1, os.SEEK_CUR)
                opened.write(bytes([byte[0] ^ 0x40]))
        rig = disk.start()
        reader = rig.answer(prompt)
        assert reader.text() == ToyModel().answer(prompt, 8)
        assert reader.cached < 707
        status = rig.core.status().store.disk
        assert status is not None
        assert status.refused > 0
        rig.check_empty()
        # What was computed instead is kept again.
        assert disk.start().answer(prompt + "!").cached >= 512
        disk.stop()


def restoring(width: int = 1, max_tokens: int = 8, **more: object) -> tuple[Rig, Reader]:
    """A rig in which a request of `width` candidates has got the first of its five blocks back."""
    rig = in_ram(FakeBackend(sequences=4, cells=4096))
    rig.answer(text("one", 300))
    rig.drop_live()
    # Whoever wants something of the engine must not wait for all of them.
    rig.news = True
    specs = [drawn(seed) for seed in range(width)]
    _, reader = rig.submit(text("one", 300), specs, max_tokens=max_tokens, **more)
    rig.step()
    assert rig.core.status().cached == Moved(ram=BLOCK)
    assert not reader.outputs
    return rig, reader


class TestOnTheWayBack:
    def test_cancelled(self) -> None:
        rig, reader = restoring()
        rig.core.cancel(rig.core._jobs[1], CANCELLED)
        assert reader.ended is not None
        assert reader.ended.error is CANCELLED
        rig.news = False
        rig.run()
        rig.check_empty()

    def test_settled(self) -> None:
        rig, reader = restoring(width=2)
        rig.core.settle(rig.core._jobs[1], 0)
        rig.news = False
        rig.run()
        assert reader.finish(0) is Finish.STOP
        assert reader.text(0) == ""
        assert reader.text(1) == ToyModel().answer(text("one", 300), 8, seed=1)
        rig.check_empty()

    def test_too_late(self) -> None:
        rig, reader = restoring(deadline=5.0)
        rig.now = 5.0
        rig.step()
        assert reader.ended is not None
        assert reader.ended.error is not None
        assert reader.ended.error.reason is Reason.DEADLINE_EXCEEDED
        rig.news = False
        rig.run()
        rig.check_empty()

    def test_suspended(self) -> None:
        rig, reader = restoring()
        (candidate,) = rig.core._running.values()
        rig.core._admission.suspend(candidate)
        rig.news = False
        before = rig.computed
        rig.run()
        assert reader.text() == ToyModel().answer(text("one", 300), 8, seed=0)
        assert rig.computed - before == 1 + 7
        rig.check_empty()

    def test_with_siblings_that_wait_for_it(self) -> None:
        rig, reader = restoring(width=3)
        assert rig.core.status().sequences_busy == 3
        before = rig.computed
        rig.news = False
        rig.run()
        for index in range(3):
            assert reader.text(index) == ToyModel().answer(text("one", 300), 8, seed=index)
        # Each block came back once, and one token was fed for all three.
        assert rig.core.status().cached == Moved(ram=299)
        assert rig.computed - before == 1 + 3 * 7
        rig.check_empty()

    def test_others_get_their_tokens_meanwhile(self) -> None:
        """One block a step at least, and a token for everybody else in each."""
        rig = in_ram(FakeBackend(sequences=4, cells=4096))
        rig.answer(text("one", 300))
        rig.drop_live()
        _, stream = rig.submit("stream", max_tokens=40)
        rig.step(2)
        # Nothing is known of how long a step takes.
        rig.core._chunks._steps.clear()
        _, reader = rig.submit(text("one", 300))
        for step in range(4):
            before = len(stream.generated())
            rig.core._chunks._steps.clear()
            rig.step()
            assert len(stream.generated()) == before + 1
            assert rig.core.status().cached.ram == BLOCK * (step + 1)
        rig.run()
        assert reader.text() == ToyModel().answer(text("one", 300), 8)
        assert stream.text() == ToyModel().answer("stream", 40)

    def test_it_comes_back_although_somebody_always_wants_something(self) -> None:
        rig, reader = restoring()
        rig.run_until(lambda: rig.core.status().cached.ram == 299, most=10)
        rig.news = False
        rig.run()
        assert reader.text() == ToyModel().answer(text("one", 300), 8, seed=0)


class TestSuspension:
    @pytest.mark.parametrize("whole", [False, True])
    @pytest.mark.parametrize("ram", [MEGABYTE, 0])
    def test_brings_the_state_back_without_computing_it(self, whole: bool, ram: int) -> None:
        rig = in_ram(FakeBackend(sequences=1, cells=4096, partial_prefix=not whole), ram)
        side = rig.submit(text("side", 300), [drawn(1)], 40, priority=Priority.SIDE)[1]
        rig.step(20)
        assert side.generated()
        main = rig.submit(text("main", 200), [drawn(2)], 10)[1]
        rig.step(3)
        rig.run()
        assert side.text() == ToyModel().answer(text("side", 300), 40, seed=1)
        assert main.text() == ToyModel().answer(text("main", 200), 10, seed=2)
        assert [job.order for job in rig.ended] == [1, 0]
        assert rig.core.status().suspensions == 1
        once = (300 + 39) + (200 + 9)
        if ram:
            assert rig.computed == once
        else:
            assert rig.computed > once + 300
        # A resumed answer is no cached prompt.
        assert rig.core.status().cached_tokens == 0
        rig.check_empty()

    @pytest.mark.parametrize("whole", [False, True])
    def test_in_the_middle_of_a_prefill(self, whole: bool) -> None:
        rig = in_ram(FakeBackend(sequences=1, cells=4096, batch=64, partial_prefix=not whole))
        side = rig.submit(text("side", 600), max_tokens=4, priority=Priority.SIDE)[1]
        rig.step(4)
        assert not side.generated()
        rig.submit(text("main", 200), max_tokens=4)
        rig.run()
        assert side.text() == ToyModel().answer(text("side", 600), 4)
        assert rig.computed == (600 + 3) + (200 + 3)
        rig.check_empty()

    def test_by_want_of_cells(self) -> None:
        """Two answers that do not fit beside each other: the younger one waits, and goes on."""
        rig = in_ram(FakeBackend(sequences=4, cells=500))
        first = rig.submit(text("first", 150), [drawn(1)], 200)[1]
        second = rig.submit(text("second", 150), [drawn(2)], 200)[1]
        rig.run()
        assert first.text() == ToyModel().answer(text("first", 150), 200, seed=1)
        assert second.text() == ToyModel().answer(text("second", 150), 200, seed=2)
        assert rig.core.status().suspensions == 1
        assert rig.computed == 2 * (150 + 199)
        rig.check_empty()

    def test_a_store_that_is_full_costs_time_only(self) -> None:
        # Room for two blocks or so.
        rig = in_ram(FakeBackend(sequences=4, cells=500), ram=1_000)
        first = rig.submit(text("first", 150), [drawn(1)], 200)[1]
        second = rig.submit(text("second", 150), [drawn(2)], 200)[1]
        rig.run()
        assert first.text() == ToyModel().answer(text("first", 150), 200, seed=1)
        assert second.text() == ToyModel().answer(text("second", 150), 200, seed=2)
        status = rig.core.status().store.ram
        assert status.bytes_used <= 1_000
        assert status.unkept > 0
        assert rig.computed > 2 * (150 + 199)
        rig.check_empty()


class TestWholeStates:
    """Recurrent and sliding-window models: only prompts that go on where a state was saved can use it."""

    def rig(self) -> Rig:
        return in_ram(FakeBackend(cells=16384, batch=512, partial_prefix=False), 64 * MEGABYTE)

    def test_saved_where_the_prompt_stops_being_the_conversations(self) -> None:
        rig = self.rig()
        prompt = text("one", 300)
        rig.answer(prompt, stable=200)
        rig.drop_live()
        other = prompt[:200] + text("other", 100)
        reader = rig.answer(other)
        assert reader.text() == ToyModel().answer(other, 8)
        assert reader.cached == 200

    def test_saved_at_the_end_of_the_prompt(self) -> None:
        """The next turn may show the answer otherwise than it was said."""
        rig = self.rig()
        prompt = text("one", 300)
        rig.answer(prompt)
        rig.drop_live()
        other = prompt + "said otherwise, and the next question"
        reader = rig.answer(other)
        assert reader.text() == ToyModel().answer(other, 8)
        assert reader.cached == 300

    def test_saved_there_also_when_one_token_is_left_for_the_last_step(self) -> None:
        rig = self.rig()
        prompt = text("one", 513)
        rig.answer(prompt)
        rig.drop_live()
        assert rig.answer(prompt + "said otherwise").cached == 513

    def test_saved_at_the_end_of_the_answer(self) -> None:
        rig = self.rig()
        first = rig.answer(prompt := text("one", 300))
        rig.drop_live()
        reader = rig.answer(second := next_turn(prompt, first))
        assert reader.text() == ToyModel().answer(second, 8)
        assert reader.cached == 307

    def test_saved_every_so_many_tokens(self) -> None:
        rig = self.rig()
        prompt = text("one", 2 * CHECKPOINT + 900)
        rig.answer(prompt)
        rig.drop_live()
        other = prompt[: 2 * CHECKPOINT + 500] + text("other", 50)
        reader = rig.answer(other)
        assert reader.text() == ToyModel().answer(other, 8)
        assert reader.cached == 2 * CHECKPOINT
        rig.drop_live()
        assert rig.answer(prompt[: CHECKPOINT + 5] + "?").cached == CHECKPOINT

    def test_from_disk_in_a_new_process(self, whole_disk: Disk) -> None:
        first = whole_disk.start().answer(prompt := text("one", 300))
        rig = whole_disk.start()
        reader = rig.answer(second := next_turn(prompt, first))
        assert reader.text() == ToyModel().answer(second, 8)
        assert rig.core.status().cached == Moved(disk=307)
        rig.check_empty()

    def test_an_idle_prefix_that_is_used_again_before_it_was_saved(self) -> None:
        """Then it runs, and nothing between two points can be saved."""
        rig = self.rig()
        rig.submit(text("long", 100), max_tokens=200)
        rig.step(4)
        first = rig.submit(prompt := text("one", 300), max_tokens=8)[1]
        rig.step(20)
        assert first.ended is not None
        second = rig.submit(next_turn(prompt, first), max_tokens=100)[1]
        # Past the end of the next full block.
        rig.run_until(lambda: len(second.generated()) > 2 * BLOCK - 40)
        assert rig.core._shelf.saving
        rig.core._credit = 1.0
        rig.step(10)
        rig.run()
        assert second.text() == ToyModel().answer(next_turn(prompt, first), 100)
        assert second.cached == 307
        rig.check_empty()

    def test_late_siblings_compute_the_rest_of_the_prompt_once(self) -> None:
        rig = in_ram(FakeBackend(sequences=2, cells=4096, batch=512, partial_prefix=False))
        prompt = text("one", 300)
        _, reader = rig.submit(prompt, [drawn(seed) for seed in range(4)], 8)
        rig.run()
        for index in range(4):
            assert reader.text(index) == ToyModel().answer(prompt, 8, seed=index)
        assert rig.computed <= 2 * 300 + 4 * 7
        rig.check_empty()


def test_who_saved_a_state_does_not_matter_but_sessions_are_told_apart() -> None:
    rig = in_ram(FakeBackend(cells=4096))
    shared = text("system", 200)
    rig.answer(shared + text("one", 100), owner=Owner("one"))
    rig.drop_live()
    reader = rig.answer(shared + text("two", 100), owner=Owner("two"))
    assert reader.text() == ToyModel().answer(shared + text("two", 100), 8)
    assert reader.cached == 200

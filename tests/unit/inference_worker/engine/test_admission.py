"""Who gets in, who makes way and comes back, and who is given up: ranks, ageing, deadlines."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.errors import Reason
from services.inference_worker.engine.scheduler import Limits, Priority
from services.inference_worker.kv.store import KvStore
from tests.fakes.backend import FakeBackend, ToyModel
from tests.unit.inference_worker.engine.rig import Reader, Rig, drawn

MAIN, SUBAGENT, SIDE = Priority.MAIN, Priority.SUBAGENT, Priority.SIDE


def rig(sequences: int = 1, cells: int = 1024, tick: float = 0.0, ram: int = 1 << 20) -> Rig:
    backend = FakeBackend(sequences, cells)
    return Rig(backend, Limits(batch=64, headroom=4), KvStore(backend.fingerprint, ram, None), tick=tick)


def reason(reader: Reader) -> Reason | None:
    assert reader.ended is not None
    return reader.ended.error.reason if reader.ended.error is not None else None


class TestRanks:
    def test_a_side_request_makes_way_and_finishes_later_with_the_same_text(self) -> None:
        world = rig()
        side = world.submit("side", [drawn(1)], 30, priority=SIDE)[1]
        world.step(5)
        main = world.submit("main", [drawn(2)], 10)[1]
        before = len(side.generated())
        world.run_until(lambda: main.ended)
        assert len(side.generated()) == before
        world.run()
        assert side.text() == ToyModel().answer("side", 30, seed=1)
        assert main.text() == ToyModel().answer("main", 10, seed=2)
        world.check_empty()

    @pytest.mark.parametrize(("running", "coming"), [(MAIN, MAIN), (SUBAGENT, SUBAGENT), (MAIN, SIDE)])
    def test_nobody_makes_way_for_an_equal_or_less(self, running: Priority, coming: Priority) -> None:
        world = rig()
        world.submit("first", max_tokens=10, priority=running)
        world.step(2)
        world.submit("second", max_tokens=5, priority=coming)
        world.run()
        assert [job.order for job in world.ended] == [0, 1]
        assert world.core.status().suspensions == 0

    def test_nobody_makes_way_when_there_is_room(self) -> None:
        world = rig(sequences=2)
        world.submit("side", max_tokens=10, priority=SIDE)
        world.step(2)
        world.submit("main", max_tokens=5)
        world.run()
        assert world.core.status().suspensions == 0

    def test_only_as_many_make_way_as_must(self) -> None:
        """A small side request is the first to go, but only the large one's cells are enough."""
        world = rig(sequences=4, cells=1000)
        world.submit("L" * 600, max_tokens=60, priority=SIDE)
        world.submit("small", max_tokens=60, priority=SIDE)
        world.step(12)
        world.submit("M" * 500, max_tokens=5)
        world.step()
        assert sorted(world.core._running) == [(1, 0), (2, 0)]
        world.run()
        assert world.core.status().suspensions == 1

    def test_nobody_makes_way_in_vain(self) -> None:
        """Without all that matters less it would still not fit."""
        world = rig(sequences=4, cells=1000)
        world.submit("M" * 600, max_tokens=20)
        world.submit("small", max_tokens=20, priority=SIDE)
        world.step(12)
        world.submit("N" * 500, max_tokens=5)
        world.run()
        assert world.core.status().suspensions == 0

    def test_a_long_run_is_no_wait(self) -> None:
        """A side request that has run for minutes is one all the same: it goes once, and stays away."""
        world = rig(tick=5.0)
        side = world.submit("side", max_tokens=200, priority=SIDE)[1]
        world.step(60)
        main = world.submit("main", max_tokens=4)[1]
        said = len(side.generated())
        world.run_until(lambda: main.ended)
        assert len(side.generated()) == said
        assert world.core.status().suspensions == 1
        # Neither has it become worth more by running, once it is back.
        world.run_until(lambda: len(side.generated()) > said)
        world.submit("main again", max_tokens=4)
        world.step()
        assert world.core.status().suspensions == 2

    def test_whoever_waited_long_is_not_sent_away_again(self) -> None:
        world = rig(tick=1.0)
        world.submit("first", max_tokens=40)
        world.step(2)
        side = world.submit("side", max_tokens=10, priority=SIDE)[1]
        world.run_until(lambda: side.generated())
        # It waited for more than 30 seconds: it is worth a main request now.
        world.submit("second", max_tokens=4)
        world.run()
        assert [job.order for job in world.ended] == [0, 1, 2]
        assert world.core.status().suspensions == 0

    def test_many_short_waits_add_up(self) -> None:
        """Main requests come again and again, each before the side request has aged: it ends all the same."""
        world = rig(tick=1.0)
        side = world.submit("side", max_tokens=60, priority=SIDE)[1]
        world.step(2)
        number = 0
        while side.ended is None:
            main = world.submit(f"main {number}", max_tokens=10)[1]
            number += 1
            world.run_until(lambda main=main: main.ended or side.ended)
            world.step(2)
            assert number < 12
        assert world.core.status().suspensions <= 4
        assert side.text() == ToyModel().answer("side", 60)

    def test_siblings_share_their_leaders_rank(self) -> None:
        """Later siblings have waited longer, but it is the leader that they depend on."""
        backend = FakeBackend(sequences=2, cells=4096, batch=32)
        world = Rig(
            backend, Limits(batch=32, headroom=4), KvStore(backend.fingerprint, 1 << 20, None), tick=8.0
        )
        world.submit("first", max_tokens=6)
        side = world.submit("side" * 100, [drawn(seed) for seed in range(2)], 4, priority=SIDE)[1]
        world.step(7)
        main = world.submit("main", max_tokens=30)[1]
        world.run()
        for index in range(2):
            assert side.text(index) == ToyModel().answer("side" * 100, 4, seed=index)
        assert main.ended is not None
        world.check_empty()

    @settings(max_examples=60, deadline=None)
    @given(
        jobs=st.lists(
            st.tuples(
                st.integers(1, 150),
                st.integers(1, 3),
                st.integers(1, 40),
                st.sampled_from(list(Priority)),
                st.integers(0, 15),
            ),
            min_size=1,
            max_size=10,
        ),
        sequences=st.integers(1, 4),
        partial_prefix=st.booleans(),
        tick=st.sampled_from([0.01, 1.0, 7.0]),
        ram=st.sampled_from([0, 3_000, 1 << 20]),
    )
    def test_everybody_ends_with_the_right_answer(
        self,
        jobs: list[tuple[int, int, int, Priority, int]],
        sequences: int,
        partial_prefix: bool,
        tick: float,
        ram: int,
    ) -> None:
        backend = FakeBackend(sequences, 220, 32, partial_prefix)
        world = Rig(backend, Limits(batch=32, headroom=4), KvStore(backend.fingerprint, ram, None), tick=tick)
        readers = []
        for number, (length, width, tokens, priority, late) in enumerate(jobs):
            prompt = ("shared prefix " + f"{number} " * 80)[:length]
            specs = [drawn(seed) for seed in range(width)]
            _, reader = world.submit(prompt, specs, tokens, priority=priority)
            readers.append((prompt, width, tokens, reader))
            world.step(late)
            world.check_books()
        world.run(most=20_000)
        for prompt, width, tokens, reader in readers:
            assert reason(reader) is None
            for index in range(width):
                assert reader.text(index) == ToyModel().answer(prompt, tokens, seed=index)
        world.check_empty()


class TestDeadlines:
    def test_of_a_request_that_runs(self) -> None:
        world = rig(tick=1.0)
        reader = world.submit("late", max_tokens=50, deadline=10.0)[1]
        other = world.submit("other", max_tokens=5)[1]
        world.run()
        assert reason(reader) is Reason.DEADLINE_EXCEEDED
        assert len(reader.generated()) == 9
        assert reason(other) is None
        world.check_empty()

    def test_of_a_request_that_waits(self) -> None:
        world = rig(tick=1.0)
        world.submit("first", max_tokens=30)
        reader = world.submit("late", deadline=10.0)[1]
        world.step(12)
        assert reason(reader) is Reason.DEADLINE_EXCEEDED
        assert not reader.generated()
        world.run()
        world.check_empty()

    def test_of_a_request_that_was_suspended(self) -> None:
        world = rig(tick=1.0)
        reader = world.submit("side", max_tokens=30, priority=SIDE, deadline=15.0)[1]
        world.step(5)
        world.submit("main", max_tokens=30)
        world.run()
        assert reason(reader) is Reason.DEADLINE_EXCEEDED
        assert 0 < len(reader.generated()) < 10
        world.check_empty()

    def test_of_some_candidates_that_wait_while_others_run(self) -> None:
        world = rig(sequences=2, tick=1.0)
        reader = world.submit("late", [drawn(seed) for seed in range(5)], 50, deadline=10.0)[1]
        world.run()
        assert reason(reader) is Reason.DEADLINE_EXCEEDED
        world.check_empty()

    def test_not_reached(self) -> None:
        world = rig(tick=1.0)
        reader = world.submit("in time", max_tokens=8, deadline=9.5)[1]
        world.run()
        assert reason(reader) is None


class TestSettlingTheLeader:
    def test_in_its_prefill_leaves_the_prompt_to_the_next(self) -> None:
        world = Rig(FakeBackend(batch=32))
        prompt = "a prompt of three batches " * 4
        job, reader = world.submit(prompt, [drawn(seed) for seed in range(4)], 6)
        world.step(2)
        world.core.settle(job, 0)
        world.run()
        assert reader.text(0) == ""
        for index in (1, 2, 3):
            assert reader.text(index) == ToyModel().answer(prompt, 6, seed=index)
        # Computed once.
        assert world.computed == len(prompt) + 3 * 5
        world.check_empty()

    def test_one_after_the_other(self) -> None:
        world = Rig(FakeBackend(batch=32, partial_prefix=False))
        prompt = "a prompt of three batches " * 4
        job, reader = world.submit(prompt, [drawn(seed) for seed in range(4)], 6)
        for index in (0, 1, 2):
            world.step()
            world.core.settle(job, index)
        world.run()
        assert reader.text(3) == ToyModel().answer(prompt, 6, seed=3)
        assert world.computed == len(prompt) + 5
        world.check_empty()

    def test_while_it_waits(self) -> None:
        world = rig()
        world.submit("first", max_tokens=10)
        job, reader = world.submit("second", [drawn(0), drawn(1)], 6)
        world.step(3)
        world.core.settle(job, 0)
        world.run()
        assert reader.text(1) == ToyModel().answer("second", 6, seed=1)
        world.check_empty()

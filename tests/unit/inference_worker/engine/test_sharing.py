"""Threads give way to other processes and come back, with processor time that is only numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inference_worker.engine.sharing import INTERVAL, Sharing, Usage


class Machine:
    """`run` lets time pass in which others take so many cores and this process the rest, or `own`."""

    def __init__(self, threads: int, cores: int) -> None:
        self.sharing = Sharing(threads, cores)
        self._cores = cores
        self._now = self._all = self._own = 0.0
        self.threads = self.sharing.observe(0.0, Usage(0.0, 0.0))

    def run(self, others: float, seconds: float = INTERVAL, own: float | None = None) -> int:
        own = min(self.threads, self._cores - others) if own is None else own
        self._now += seconds
        self._own += own * seconds
        self._all += (own + others) * seconds
        self.threads = self.sharing.observe(self._now, Usage(self._all, self._own))
        return self.threads

    def pause(self, others: float, seconds: float) -> None:
        """Nothing to do for this process."""
        self._now += seconds
        self._all += others * seconds
        self.sharing.resume(self._now, Usage(self._all, self._own))

    def settle(self, others: float) -> int:
        """The number of threads when it has been so for a while."""
        for _ in range(4):
            self.run(others)
        return self.threads


def test_a_quiet_machine_gives_all_threads() -> None:
    machine = Machine(2, 2)
    # Our own gateway and its kind take a little.
    assert [machine.run(each) for each in (0.0, 0.15, 0.3, 0.0)] == [2, 2, 2, 2]


def test_one_busy_process_costs_one_thread_and_it_comes_back() -> None:
    machine = Machine(2, 2)
    # Beside two spinning threads it gets two thirds of a core, beside one a whole core.
    assert [machine.run(0.66), machine.run(0.66)] == [2, 1]
    assert machine.run(1.0) == 1
    assert machine.run(0.0) == 2


def test_one_thread_is_always_left() -> None:
    assert Machine(2, 2).settle(2.0) == 1
    assert Machine(8, 8).settle(50.0) == 1


def test_a_short_burst_of_others_is_borne() -> None:
    machine = Machine(2, 2)
    assert [machine.run(each) for each in (0.9, 0.1, 0.9, 0.0)] == [2, 2, 2, 2]


@pytest.mark.parametrize(("others", "threads"), [(0.3, 8), (1.0, 7), (3.2, 5), (7.0, 1)])
def test_on_many_cores_only_the_taken_ones_are_left_out(others: float, threads: int) -> None:
    assert Machine(8, 8).settle(others) == threads


def test_hyperthreads_that_are_free_serve_the_others() -> None:
    assert Machine(4, 8).settle(3.0) == 4


def test_it_does_not_flutter_about_a_border() -> None:
    machine = Machine(2, 2)
    machine.settle(0.5)
    assert [machine.run(each) for each in (0.35, 0.3, 0.38, 0.32)] == [1, 1, 1, 1]


def test_what_was_busy_in_a_pause_does_not_count() -> None:
    machine = Machine(2, 2)
    machine.pause(others=2.0, seconds=20.0)
    assert [machine.run(0.1), machine.run(0.1)] == [2, 2]


def test_one_long_step_beside_a_busy_process_is_enough() -> None:
    """Threads that wait for one another beside it can make a step take seconds."""
    assert Machine(2, 2).run(0.66, seconds=3.0) == 1


def test_it_looks_only_now_and_then() -> None:
    sharing = Sharing(2, 2)
    assert sharing.due(0.0)
    sharing.observe(0.0, Usage(0.0, 0.0))
    assert not sharing.due(INTERVAL / 2)
    assert sharing.due(INTERVAL)


@given(st.lists(st.tuples(st.floats(0, 40), st.floats(0, 1)), max_size=30), st.integers(1, 16))
def test_never_none_and_never_more_than_asked_for(times: list[tuple[float, float]], threads: int) -> None:
    machine = Machine(threads, 16)
    for others, seconds in times:
        assert 1 <= machine.run(others, seconds, own=0.0) <= threads

"""Admission, batch planning and the choice of victims, with a clock that is only a number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inference_worker.engine.scheduler import (
    ChunkSizer,
    Feeding,
    Limits,
    Share,
    Waiting,
    admit,
    plan,
    victim,
)

LIMITS = Limits(batch=512, headroom=64, stall=0.4, credit=500.0, patience=10.0)


def sizer(rate: float | None = None, limits: Limits = LIMITS) -> ChunkSizer:
    chunks = ChunkSizer(limits)
    if rate is not None:
        chunks.observe(int(rate), 1.0)
    return chunks


class TestPlan:
    def test_streams_come_before_prompts(self) -> None:
        feeding = [Feeding((0, 0), 300, 0.0), Feeding((1, 0), 1, 0.0), Feeding((2, 0), 1, 0.0)]
        shares = plan(feeding, sizer(1000.0), LIMITS, now=0.0)
        assert shares == [Share((1, 0), 1), Share((2, 0), 1), Share((0, 0), 300)]

    def test_a_prompt_takes_the_whole_batch_when_nobody_streams(self) -> None:
        assert plan([Feeding((0, 0), 9000, 0.0)], sizer(50.0), LIMITS, 0.0) == [Share((0, 0), 512)]

    def test_a_prompt_beside_streams_is_cut_to_what_the_stall_allows(self) -> None:
        feeding = [Feeding((0, 0), 9000, 0.0), Feeding((1, 0), 1, 0.0)]
        # 200 tokens a second and 0.4 s: 80 tokens.
        assert plan(feeding, sizer(200.0), LIMITS, 0.0)[1] == Share((0, 0), 80)

    def test_the_shorter_rest_goes_first(self) -> None:
        feeding = [Feeding((0, 0), 400, 0.0), Feeding((1, 0), 40, 0.0)]
        assert plan(feeding, sizer(), LIMITS, 0.0) == [Share((1, 0), 40), Share((0, 0), 400)]

    def test_waiting_outweighs_length(self) -> None:
        feeding = [Feeding((0, 0), 4000, arrived=0.0), Feeding((9, 0), 100, arrived=8.0)]
        assert plan(feeding, sizer(), LIMITS, now=8.0)[0].key == (0, 0)

    def test_what_the_batch_has_left_goes_to_the_next_prompt(self) -> None:
        feeding = [Feeding((0, 0), 500, 0.0), Feeding((1, 0), 600, 0.0)]
        assert plan(feeding, sizer(), LIMITS, 0.0) == [Share((0, 0), 500), Share((1, 0), 12)]

    @given(
        pending=st.lists(st.integers(1, 2000), max_size=40),
        rate=st.floats(1, 1e6),
        now=st.floats(0, 1e4),
    )
    def test_never_more_than_the_batch_and_never_an_empty_plan(
        self, pending: list[int], rate: float, now: float
    ) -> None:
        feeding = [Feeding((index, 0), tokens, 0.0) for index, tokens in enumerate(pending)]
        shares = plan(feeding, sizer(rate), LIMITS, now)
        assert sum(share.tokens for share in shares) <= LIMITS.batch
        assert bool(shares) == bool(pending)
        wanted = {each.key: each.pending for each in feeding}
        assert all(0 < share.tokens <= wanted[share.key] for share in shares)
        assert len({share.key for share in shares}) == len(shares)
        streams = {each.key for each in feeding if each.pending == 1}
        assert streams <= {share.key for share in shares}


class TestStreamsDoNotStall:
    def test_a_long_prefill_leaves_the_streams_their_pace(self) -> None:
        """Simulated: 400 prompt tokens a second, two streams, and a prompt of 8,000 tokens beside them."""
        clock, chunks = 0.0, sizer()
        prompt, waits = 8000, []
        while prompt:
            feeding = [Feeding((0, 0), 1, 0.0), Feeding((1, 0), 1, 0.0), Feeding((2, 0), prompt, 0.0)]
            shares = plan(feeding, chunks, LIMITS, clock)
            assert {(0, 0), (1, 0)} <= {share.key for share in shares}
            fed = shares[-1].tokens
            seconds = fed / 400
            chunks.observe(fed, seconds)
            clock += seconds
            waits.append(seconds)
            prompt -= fed
        assert max(waits) <= LIMITS.stall
        # The prompt is not starved either: it gets the machine's full speed.
        assert clock == pytest.approx(8000 / 400)

    def test_the_chunk_follows_a_machine_that_slows_down(self) -> None:
        chunks = sizer(1000.0)
        for _ in range(30):
            chunks.observe(100, 1.0)
        assert chunks.size(streams=1) == pytest.approx(40, abs=1)

    def test_short_steps_say_nothing(self) -> None:
        chunks = sizer()
        before = chunks.size(streams=1)
        chunks.observe(3, 60.0)
        assert chunks.size(streams=1) == before


class TestAdmit:
    def test_in_order_while_sequences_last(self) -> None:
        waiting = [Waiting((index, 0), 10, 0.0) for index in range(5)]
        assert admit(waiting, 3, 10_000, 0, LIMITS, 0.0) == [(0, 0), (1, 0), (2, 0)]

    def test_running_candidates_keep_their_headroom(self) -> None:
        waiting = [Waiting((5, 0), 100, 0.0)]
        assert admit(waiting, 1, 100 + 64 * 4, 3, LIMITS, 0.0) == [(5, 0)]
        assert admit(waiting, 1, 100 + 64 * 4 - 1, 3, LIMITS, 0.0) == []

    def test_alone_it_is_let_in_whatever_it_needs(self) -> None:
        assert admit([Waiting((5, 0), 1000, 0.0)], 1, 1000, 0, LIMITS, 0.0) == [(5, 0)]

    def test_a_small_one_overtakes_for_a_while(self) -> None:
        waiting = [Waiting((1, 0), 900, arrived=0.0), Waiting((2, 0), 10, arrived=1.0)]
        assert admit(waiting, 4, 500, 1, LIMITS, now=5.0) == [(2, 0)]
        assert admit(waiting, 4, 500, 1, LIMITS, now=10.5) == []

    def test_a_sibling_never_goes_before_its_leader(self) -> None:
        leader = Waiting((1, 0), 900, 0.0)
        sibling = Waiting((1, 1), 1, 0.0, follows=(1, 0))
        assert admit([leader, sibling], 4, 500, 1, LIMITS, 0.0) == []
        assert admit([leader, sibling], 4, 5000, 1, LIMITS, 0.0) == [(1, 0), (1, 1)]

    @given(
        wishes=st.lists(st.integers(1, 1000), min_size=1, max_size=20),
        sequences=st.integers(1, 8),
        cells=st.integers(0, 2000),
        running=st.integers(0, 8),
        now=st.floats(0, 100),
    )
    def test_never_more_than_there_is_and_never_a_dead_lock(
        self, wishes: list[int], sequences: int, cells: int, running: int, now: float
    ) -> None:
        waiting = [Waiting((index, 0), wish, 0.0) for index, wish in enumerate(wishes)]
        admitted = admit(waiting, sequences, cells, running, LIMITS, now)
        assert len(admitted) <= sequences
        if running == 0:
            assert admitted[0] == (0, 0)
        # Only the very first may get more than there is, because it is alone.
        beyond = admitted[1:] if running == 0 else admitted
        assert sum(wishes[key[0]] for key in beyond) <= cells


def test_the_victim_is_the_youngest_and_never_the_last() -> None:
    assert victim([(1, 0), (3, 0), (1, 2), (2, 5)]) == (3, 0)
    assert victim([(1, 0), (1, 2), (1, 1)]) == (1, 2)
    assert victim([(7, 0)]) is None

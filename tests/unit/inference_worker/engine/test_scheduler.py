"""The scheduling policy: pure functions, on a simulated clock where time matters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.inference_worker.engine.scheduler import (
    ChunkSizer,
    Feeding,
    Key,
    Limits,
    Priority,
    Share,
    Waiting,
    admit,
    displaced,
    effort,
    in_order,
    plan,
    victim,
)

LIMITS = Limits(batch=512)
# Prompts in steps of their own.
APART = Limits(batch=512, chunk=128)
SMALLEST = 4

# Seconds that a step of so many rows takes.
Cost = Callable[[int], float]


def steep(rows: int) -> float:
    """Two cores: every row costs a third of the first one, rows of a large batch half of that."""
    return 0.033 * (1 + 0.35 * min(rows - 1, 7) + 0.15 * max(0, rows - 8))


def linear(rows: int) -> float:
    """Nothing gets cheaper in a large batch."""
    return 0.033 * (1 + 0.35 * (rows - 1))


def flat(rows: int) -> float:
    """A GPU: up to 64 rows for the price of one."""
    return 0.01 * max(1.0, rows / 64)


def two_cores(rows: int) -> float:
    """Measured: 512 tokens of a prompt take 80 steps of one stream."""
    return 0.012 * (1 + 0.35 * min(rows - 1, 7) + 0.13 * max(0, rows - 8))


COSTS = pytest.mark.parametrize("cost", [steep, linear, flat])


def measured(rate: float, step: float = 0.1, streams: int = 1) -> ChunkSizer:
    """It has seen steps of `step` seconds, and `rate` prompt tokens a second beside the streams."""
    chunks = ChunkSizer(LIMITS)
    chunks.observe(streams, 0, step)
    for _ in range(50):
        # A little quicker, so that no chunk is rounded down from a whole number.
        chunks.observe(streams, 100, step + 100 / rate / 1.0001)
    return chunks


@dataclass
class Simulation:
    """Runs plans over a cost model: `prompts` come in at their times and stream `answer` tokens each."""

    cost: Cost
    limits: Limits = LIMITS
    noise: float = 0.0
    guesses: int = 0
    """Of every stream in every step, as the engine feeds them; none is right."""
    clock: float = 0.0
    chunks: ChunkSizer = field(init=False)
    pending: dict[Key, int] = field(default_factory=dict)
    arrived: dict[Key, float] = field(default_factory=dict)
    ranks: dict[Key, int] = field(default_factory=dict)
    left: dict[Key, int] = field(default_factory=dict)
    depth: dict[Key, int] = field(default_factory=dict)
    last: dict[Key, float] = field(default_factory=dict)
    begun: dict[Key, float] = field(default_factory=dict)
    stalls: list[float] = field(default_factory=list)
    """Of every token but each stream's first: the pause before it, in decode steps of the load."""
    spent: float = 0.0
    steps: int = 0
    most_steps: int = 0
    """Steps between two tokens of a stream, at most."""

    def __post_init__(self) -> None:
        self.chunks = ChunkSizer(self.limits)
        self.random = Random(1)

    def add(self, key: Key, prompt: int, answer: int, rank: int = Priority.MAIN) -> None:
        self.pending[key], self.left[key] = prompt, answer
        self.arrived[key], self.ranks[key], self.depth[key] = self.clock, rank, 0

    def step(self) -> list[Share]:
        feeding = [
            Feeding(
                key,
                pending,
                self.arrived[key],
                # As the engine does: what waits long enough for its prompt matters as much as any other.
                max(self.ranks[key], self.limits.rank(Priority.SIDE, self.clock - self.arrived[key])),
                depth=self.depth[key],
            )
            for key, pending in self.pending.items()
        ]
        shares = plan(feeding, self.chunks, self.limits, self.clock, self.spent, self.steps)
        rows = sum(share.tokens for share in shares)
        running = {key for key, pending in self.pending.items() if pending == 1}
        streams = sum(share.key in running for share in shares)
        assert streams in (0, len(running))
        alone = rows == streams < len(feeding)
        measures = alone and not self.chunks.knows(streams)
        guesses = self.guesses * streams if not measures else 0
        seconds = self.cost(rows + guesses) * (1 + self.noise * self.random.uniform(-1, 1))
        prompts = sum(
            effort(share.tokens, self.depth[share.key] if self.limits.chunk else 0)
            for share in shares
            if share.key not in running
        )
        self.chunks.observe(streams, prompts, seconds, guesses)
        self.clock += seconds
        stalled = bool(running) and not streams
        self.spent, self.steps = (self.spent + seconds, self.steps + 1) if stalled else (0.0, 0)
        self.most_steps = max(self.most_steps, self.steps + 1)
        unit = self.cost(len(feeding))
        for share in shares:
            self._feed(share, unit)
        return shares

    def _feed(self, share: Share, unit: float) -> None:
        key = share.key
        self.pending[key] -= share.tokens
        self.depth[key] += share.tokens
        if self.pending[key]:
            return
        if key in self.last:
            self.stalls.append((self.clock - self.last[key]) / unit)
        else:
            self.begun[key] = self.clock
        self.last[key] = self.clock
        self.left[key] -= 1
        if self.left[key]:
            self.pending[key] = 1
        else:
            del self.pending[key]


class TestPlan:
    def test_streams_come_before_prompts(self) -> None:
        feeding = [Feeding((0, 0), 150, 0.0), Feeding((1, 0), 1, 0.0), Feeding((2, 0), 1, 0.0)]
        shares = plan(feeding, measured(1000.0, streams=2), LIMITS, now=0.0)
        assert shares == [Share((1, 0), 1), Share((2, 0), 1), Share((0, 0), 150)]

    def test_a_prompt_takes_the_whole_batch_when_nobody_streams(self) -> None:
        assert plan([Feeding((0, 0), 9000, 0.0)], measured(50.0), LIMITS, 0.0) == [Share((0, 0), 512)]

    def test_a_prompt_beside_streams_is_cut_to_what_the_stall_allows(self) -> None:
        feeding = [Feeding((0, 0), 9000, 0.0), Feeding((1, 0), 1, 0.0)]
        # Two more steps of 0.1 s, at 200 tokens a second.
        assert plan(feeding, measured(200.0), LIMITS, 0.0)[1] == Share((0, 0), 40)

    def test_what_is_spent_of_the_step_already_is_taken_off(self) -> None:
        feeding = [Feeding((0, 0), 9000, 0.0), Feeding((1, 0), 1, 0.0)]
        assert plan(feeding, measured(200.0), LIMITS, 0.0, spent=0.15)[1] == Share((0, 0), 10)
        assert plan(feeding, measured(200.0), LIMITS, 0.0, spent=9.9)[1] == Share((0, 0), SMALLEST)

    def test_the_shorter_rest_goes_first(self) -> None:
        feeding = [Feeding((0, 0), 400, 0.0), Feeding((1, 0), 40, 0.0)]
        assert plan(feeding, ChunkSizer(LIMITS), LIMITS, 0.0) == [Share((1, 0), 40), Share((0, 0), 400)]

    def test_waiting_outweighs_length(self) -> None:
        feeding = [Feeding((0, 0), 4000, arrived=0.0), Feeding((9, 0), 100, arrived=8.0)]
        assert plan(feeding, ChunkSizer(LIMITS), LIMITS, now=8.0)[0].key == (0, 0)

    def test_rank_outweighs_both(self) -> None:
        feeding = [
            Feeding((0, 0), 100, arrived=0.0, rank=Priority.SIDE),
            Feeding((9, 0), 4000, arrived=8.0, rank=Priority.MAIN),
        ]
        assert plan(feeding, ChunkSizer(LIMITS), LIMITS, now=8.0)[0].key == (9, 0)

    def test_what_the_batch_has_left_goes_to_the_next_prompt(self) -> None:
        feeding = [Feeding((0, 0), 500, 0.0), Feeding((1, 0), 600, 0.0)]
        assert plan(feeding, ChunkSizer(LIMITS), LIMITS, 0.0) == [Share((0, 0), 500), Share((1, 0), 12)]

    def test_a_prompt_pauses_where_it_is_to_be_saved(self) -> None:
        feeding = [Feeding((0, 0), 500, 0.0, most=300), Feeding((1, 0), 600, 0.0)]
        assert plan(feeding, ChunkSizer(LIMITS), LIMITS, 0.0) == [Share((0, 0), 300), Share((1, 0), 212)]

    @given(
        pending=st.lists(st.integers(1, 2000), max_size=40),
        rate=st.floats(1, 1e6),
        now=st.floats(0, 1e4),
        spent=st.floats(0, 10),
    )
    def test_never_more_than_the_batch_and_never_an_empty_plan(
        self, pending: list[int], rate: float, now: float, spent: float
    ) -> None:
        feeding = [Feeding((index, 0), tokens, 0.0) for index, tokens in enumerate(pending)]
        shares = plan(feeding, measured(rate), LIMITS, now, spent)
        assert sum(share.tokens for share in shares) <= LIMITS.batch
        assert bool(shares) == bool(pending)
        wanted = {each.key: each.pending for each in feeding}
        assert all(0 < share.tokens <= wanted[share.key] for share in shares)
        assert len({share.key for share in shares}) == len(shares)
        streams = {each.key for each in feeding if each.pending == 1}
        assert streams <= {share.key for share in shares}


class TestStreamsDoNotStall:
    @COSTS
    @pytest.mark.parametrize("streams", [1, 3, 12])
    def test_a_long_prompt_beside_streams(self, cost: Cost, streams: int) -> None:
        """From the engine's first step on, nothing known of the machine."""
        world = Simulation(cost)
        for index in range(streams):
            world.add((index, 0), 40, 10_000)
        while len(world.begun) < streams:
            world.step()
        world.stalls.clear()
        world.add((99, 0), 8_000, 1)
        start = world.clock
        while (99, 0) in world.pending:
            world.step()
        assert max(world.stalls) <= LIMITS.stall * 1.0001
        # The prompt gets what the streams leave of such steps, or nearly so.
        longest = LIMITS.stall * cost(streams)
        chunk = max(rows for rows in range(streams + SMALLEST, 513) if cost(rows) <= longest) - streams
        assert world.clock - start <= 8_000 / chunk * longest * 1.25

    @COSTS
    def test_steps_that_vary(self, cost: Cost) -> None:
        """Every step takes up to a tenth more or less than it should."""
        world = Simulation(cost, noise=0.1)
        for index in range(3):
            world.add((index, 0), 40, 10_000)
        while len(world.begun) < 3:
            world.step()
        world.stalls.clear()
        world.add((99, 0), 8_000, 1)
        while (99, 0) in world.pending:
            world.step()
        # The step itself may be a tenth longer, and what it is compared with a tenth shorter.
        assert max(world.stalls) <= LIMITS.stall * 1.1 / 0.9

    @COSTS
    def test_prompts_that_never_end_coming(self, cost: Cost) -> None:
        """Streams are never seen alone unless the policy sees to it."""
        world, random = Simulation(cost), Random(2)
        for number in range(40):
            world.add((number, 0), random.randint(20, 900), random.randint(5, 60))
            for _ in range(random.randint(1, 25)):
                if world.pending:
                    world.step()
        while world.pending:
            world.step()
        assert max(world.stalls) <= LIMITS.stall * 1.1

    @COSTS
    def test_guesses_in_every_step(self, cost: Cost) -> None:
        """They are rows like a prompt's: prompts take less, and still learn how much they may."""
        world = Simulation(cost, guesses=6)
        world.add((0, 0), 40, 10_000)
        while not world.begun:
            world.step()
        world.stalls.clear()
        world.add((1, 0), 4_000, 1)
        chunks = []
        while (1, 0) in world.pending:
            chunks.append(sum(share.tokens for share in world.step() if share.key == (1, 0)))
        if cost is flat:
            assert max(world.stalls) <= LIMITS.stall * 1.0001
            assert max(chunks) > 150
        # On two cores six guesses alone take three steps; whether they pay is not decided here.
        alone = cost(1 + 6 + SMALLEST) / cost(2)
        world.stalls.pop()
        assert max(world.stalls) <= max(LIMITS.stall, alone) * 1.1

    def test_a_machine_that_slows_down_to_a_quarter(self) -> None:
        slow = 1.0
        world = Simulation(lambda rows: steep(rows) * slow)
        world.add((0, 0), 40, 10_000)
        world.add((1, 0), 100_000, 1)
        for _ in range(100):
            world.step()
        slow = 4.0
        before = len(world.stalls)
        for _ in range(100):
            world.step()
        # In steps of the machine as it is now; the streams' own pace is known again after 64 steps at most.
        stalls = [stall / 4 * slow for stall in world.stalls[before:]]
        assert max(stalls) <= LIMITS.stall
        assert world.pending[(1, 0)] < 100_000 - 200 * SMALLEST

    def test_a_token_that_costs_more_than_half_a_step(self) -> None:
        """The smallest chunk is fed in any case, or the prompt would starve: that is the bound then."""
        world = Simulation(lambda rows: 0.05 * rows)
        world.add((0, 0), 40, 1_000)
        while not world.begun:
            world.step()
        world.stalls.clear()
        world.add((1, 0), 400, 1)
        while (1, 0) in world.pending:
            world.step()
        assert max(world.stalls) == pytest.approx((1 + SMALLEST) / 2)

    def test_a_clock_that_stands_still_stops_nobody(self) -> None:
        chunks = ChunkSizer(LIMITS)
        feeding = [Feeding((0, 0), 1, 0.0), Feeding((1, 0), 900, 0.0)]
        fed = 0
        for _ in range(15):
            prompt = sum(share.tokens for share in plan(feeding, chunks, LIMITS, 0.0)) - 1
            chunks.observe(1, prompt, 0.0)
            fed += prompt
        assert fed > 500

    def test_streams_are_measured_alone_now_and_then(self) -> None:
        chunks = measured(1000.0)
        feeding = [Feeding((0, 0), 1, 0.0), Feeding((1, 0), 90_000, 0.0)]
        alone = []
        for step in range(200):
            shares = plan(feeding, chunks, LIMITS, 0.0)
            prompt = sum(share.tokens for share in shares) - 1
            chunks.observe(1, prompt, 0.1 + prompt / 1000)
            if not prompt:
                alone.append(step)
        assert len(alone) == 3


def steady(rate: float, streams: int = 1, step: float = 0.1) -> ChunkSizer:
    """It has seen steps of `step` seconds, and `rate` prompt tokens a second in steps of their own."""
    chunks = ChunkSizer(APART)
    chunks.observe(streams, 0, step)
    for _ in range(50):
        chunks.observe(0, 128, 128 / rate / 1.0001)
    return chunks


class TestPromptsApart:
    def test_streams_and_prompts_take_turns(self) -> None:
        feeding = [Feeding((0, 0), 9000, 0.0), Feeding((1, 0), 1, 0.0), Feeding((2, 0), 1, 0.0)]
        chunks = steady(500.0, streams=2)
        # Two more steps of 0.1 s, in whole groups of rows.
        assert plan(feeding, chunks, APART, 0.0) == [Share((0, 0), 64)]
        streams = [Share((1, 0), 1), Share((2, 0), 1)]
        assert plan(feeding, chunks, APART, 0.0, spent=0.2, steps=1) == streams

    def test_the_smallest_chunk_is_fed_however_long_it_takes(self) -> None:
        feeding = [Feeding((0, 0), 9000, 0.0), Feeding((1, 0), 1, 0.0)]
        assert plan(feeding, steady(1.0), APART, 0.0) == [Share((0, 0), SMALLEST)]

    def test_streams_of_which_nothing_is_known_go_first(self) -> None:
        feeding = [Feeding((0, 0), 9000, 0.0), Feeding((1, 0), 1, 0.0)]
        assert plan(feeding, ChunkSizer(APART), APART, 0.0) == [Share((1, 0), 1)]

    def test_whole_chunks_when_nobody_streams(self) -> None:
        feeding = [Feeding((0, 0), 100, 0.0), Feeding((1, 0), 9000, 0.0)]
        assert plan(feeding, ChunkSizer(APART), APART, 0.0) == [Share((0, 0), 100), Share((1, 0), 28)]

    def test_a_prompt_that_is_nearly_done_is_finished_first(self) -> None:
        """And what its last step has room for goes to the next."""
        feeding = [Feeding((0, 0), 150, 0.0), Feeding((1, 0), 1, 0.0), Feeding((2, 0), 9000, 0.0)]
        chunks = steady(600.0)
        assert plan(feeding, chunks, APART, 0.0) == [Share((0, 0), 128)]
        feeding[0] = Feeding((0, 0), 22, 0.0, depth=128)
        assert plan(feeding, chunks, APART, 0.0, 0.213, 1) == [Share((0, 0), 22), Share((2, 0), 106)]
        assert plan(feeding[1:], chunks, APART, 0.0, 0.4, 2) == [Share((1, 0), 1)]

    def test_but_not_before_one_that_matters_more(self) -> None:
        title = Feeding((0, 0), 100, 0.0, rank=Priority.SIDE)
        feeding = [title, Feeding((1, 0), 1, 0.0), Feeding((2, 0), 9000, 0.0)]
        assert plan(feeding, steady(600.0), APART, 0.0) == [Share((2, 0), 64)]

    def test_nor_deep_in_a_context_where_it_would_take_long(self) -> None:
        feeding = [Feeding((0, 0), 150, 0.0, depth=30_000), Feeding((1, 0), 1, 0.0)]
        (share,) = plan(feeding, steady(600.0), APART, 0.0)
        # 0.2 s at 600 tokens a second, of which each costs more than eight.
        assert share == Share((0, 0), 12)

    @given(
        pending=st.lists(st.integers(1, 2000), max_size=40),
        depth=st.integers(0, 50_000),
        rate=st.floats(1, 1e6),
        now=st.floats(0, 1e4),
        spent=st.floats(0, 10),
        steps=st.integers(0, 5),
    )
    def test_never_more_than_a_chunk_and_never_an_empty_plan(
        self, pending: list[int], depth: int, rate: float, now: float, spent: float, steps: int
    ) -> None:
        feeding = [Feeding((index, 0), tokens, 0.0, depth=depth) for index, tokens in enumerate(pending)]
        shares = plan(feeding, steady(rate), APART, now, spent, steps)
        assert bool(shares) == bool(pending)
        wanted = {each.key: each.pending for each in feeding}
        streams = {each.key for each in feeding if each.pending == 1}
        fed = {share.key for share in shares}
        assert len(fed) == len(shares)
        if fed & streams:
            assert fed == streams
            assert all(share.tokens == 1 for share in shares)
        else:
            assert all(0 < share.tokens <= wanted[share.key] for share in shares)
            assert sum(share.tokens for share in shares) <= APART.chunk

    @pytest.mark.parametrize("cost", [steep, linear, two_cores])
    @pytest.mark.parametrize("streams", [1, 3, 12])
    def test_a_long_prompt_beside_streams(self, cost: Cost, streams: int) -> None:
        """Streams stall no longer than they may, and the prompt gets what they leave."""
        world = Simulation(cost, APART)
        for index in range(streams):
            world.add((index, 0), 40, 10_000)
        while len(world.begun) < streams:
            world.step()
        # Those that began before the last one waited for its prompt.
        world.step()
        world.stalls.clear()
        world.add((99, 0), 8_000, 1)
        start = world.clock
        while world.pending[(99, 0)] > 300:
            world.step()
        # A small chunk takes longer than its part of a large one: that is learned from the first.
        assert max(world.stalls[:streams]) <= LIMITS.stall * 1.15
        assert max(world.stalls[streams:]) <= LIMITS.stall * 1.05
        chunk = max(
            (rows for rows in range(SMALLEST, 129) if cost(rows) <= 2 * cost(streams)), default=SMALLEST
        )
        pause = max(3 * cost(streams), cost(SMALLEST) + cost(streams))
        assert world.clock - start <= 8_000 / chunk * pause * 2

    @pytest.mark.parametrize("cost", [steep, linear, two_cores])
    def test_never_more_than_three_steps_between_two_tokens(self, cost: Cost) -> None:
        """Whatever comes: prompts that are nearly done may take longer, but no more steps."""
        world, random = Simulation(cost, replace(APART, slots=16)), Random(3)
        for number in range(60):
            world.add((number, 0), random.choice([30, 140, 200, 900]), random.randint(5, 60))
            for _ in range(random.randint(1, 12)):
                if world.pending:
                    world.step()
        while world.pending:
            world.step()
        assert len(world.begun) == 60
        assert world.most_steps <= 3 or max(world.stalls) <= LIMITS.stall * 1.1

    def test_a_burst_of_short_prompts_is_through_soon(self) -> None:
        """Sixteen at once: half of them have their first token in little more than half of all the time
        that their prompts take together."""
        world = Simulation(two_cores, replace(APART, slots=16))
        world.add((99, 0), 30, 4)
        while world.pending:
            world.step()
        start = world.clock
        for number in range(16):
            world.add((number, 0), 142, 64)
        while world.pending:
            world.step()
        waits = sorted(world.begun[(number, 0)] - start for number in range(16))
        assert waits[8] <= 0.62 * two_cores(128) * 16 * 142 / 128


class TestNothingStarves:
    def test_a_long_prompt_beside_short_ones_that_never_end(self) -> None:
        world = Simulation(steep)
        world.add((0, 0), 8_000, 1)
        number = 1
        while (0, 0) in world.pending:
            if len(world.pending) < 4:
                world.add((number, 0), 60, 20)
                number += 1
            world.step()
            assert world.clock < 8_000 / LIMITS.credit + 900
        assert number > 10

    def test_a_side_request_beside_main_ones_that_never_end(self) -> None:
        """Its prompt is fed once it has waited long enough, though others matter more."""
        world = Simulation(steep)
        world.add((0, 0), 400, 1, Priority.SIDE)
        number = 1
        while (0, 0) in world.pending:
            while sum(pending > 1 for pending in world.pending.values()) < 4:
                world.add((number, 0), 600, 3)
                number += 1
            world.step()
        # By ageing alone it is on a par after 30 seconds.
        assert 10 < world.clock < 30 + 60

    def test_ageing(self) -> None:
        assert [LIMITS.rank(Priority.SIDE, waited) for waited in (-1, 0, 14.9, 15, 29.9, 30, 1e6)] == [
            0, 0, 0, 1, 1, 2, 2
        ]  # fmt: skip
        assert LIMITS.rank(Priority.MAIN, 1e6) == Priority.MAIN

    @settings(max_examples=60, deadline=None)
    @given(
        jobs=st.lists(
            st.tuples(
                st.integers(1, 900),
                st.integers(1, 40),
                st.sampled_from(list(Priority)),
                st.floats(0, 2),
            ),
            min_size=1,
            max_size=25,
        ),
        cost=st.sampled_from([steep, flat]),
        sequences=st.integers(1, 6),
    )
    def test_all_that_arrives_ends(
        self, jobs: list[tuple[int, int, Priority, float]], cost: Cost, sequences: int
    ) -> None:
        """A small engine of these policies: admission by rank and age, suspension when cells run out."""
        world, limits, cells = Simulation(cost), LIMITS, 1_000
        coming = [((number, 0), *job) for number, job in enumerate(jobs)]
        queue: dict[Key, tuple[int, int, int, float]] = {}
        steps = 0
        while coming or queue or world.pending:
            steps += 1
            assert steps < 20_000
            if coming and (not world.pending or steps % 5 == 0):
                key, prompt, answer, priority, pause = coming.pop(0)
                world.clock += pause
                queue[key] = (prompt, answer, priority, world.clock)
            held = {key: _size(jobs, world, key) for key in world.pending}
            wishes = [
                Waiting(key, prompt, since, None, limits.rank(Priority(priority), world.clock - since))
                for key, (prompt, _, priority, since) in queue.items()
            ]
            free = cells - sum(held.values())
            running = len(world.pending)
            for key in admit(wishes, sequences - running, free, running, limits, world.clock):
                prompt, answer, priority, _ = queue.pop(key)
                world.add(key, prompt, answer, priority)
            if not world.pending:
                continue
            while sum(_size(jobs, world, key) for key in world.pending) + len(world.pending) > cells:
                out = victim([(world.ranks[key], key) for key in world.pending])
                if out is None:
                    break
                done = jobs[out[0]][1] - world.left[out]
                queue[out] = (jobs[out[0]][0] + done, world.left[out], world.ranks[out], world.arrived[out])
                del world.pending[out]
            assert world.step()
        assert len(world.begun) == len(jobs)


def _size(jobs: list[tuple[int, int, Priority, float]], world: Simulation, key: Key) -> int:
    prompt, answer, *_ = jobs[key[0]]
    return prompt + answer - world.left[key]


class TestAdmit:
    def test_in_order_while_sequences_last(self) -> None:
        waiting = [Waiting((index, 0), 10, 0.0) for index in range(5)]
        assert admit(waiting, 3, 10_000, 0, LIMITS, 0.0) == [(0, 0), (1, 0), (2, 0)]

    def test_by_rank_then_age(self) -> None:
        waiting = [
            Waiting((0, 0), 10, 0.0, rank=Priority.SIDE),
            Waiting((1, 0), 10, 0.0, rank=Priority.SUBAGENT),
            Waiting((2, 0), 10, 0.0, rank=Priority.MAIN),
            Waiting((3, 0), 10, 0.0, rank=Priority.MAIN),
        ]
        assert admit(waiting, 3, 10_000, 0, LIMITS, 0.0) == [(2, 0), (3, 0), (1, 0)]
        assert [each.key[0] for each in in_order(waiting)] == [2, 3, 1, 0]

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


MAIN, SUBAGENT, SIDE = Priority.MAIN, Priority.SUBAGENT, Priority.SIDE


class TestWhoMakesWay:
    def test_the_victim_is_of_the_lowest_rank_then_the_youngest_and_never_the_last(self) -> None:
        assert victim([(MAIN, (1, 0)), (MAIN, (3, 0)), (MAIN, (1, 2)), (MAIN, (2, 5))]) == (3, 0)
        assert victim([(MAIN, (1, 0)), (MAIN, (1, 2)), (MAIN, (1, 1))]) == (1, 2)
        assert victim([(SIDE, (1, 0)), (MAIN, (3, 0))]) == (1, 0)
        assert victim([(SIDE, (7, 0))]) is None

    def test_only_a_lower_rank_is_displaced(self) -> None:
        running = [(MAIN, (1, 0)), (SUBAGENT, (2, 0)), (SIDE, (3, 0)), (SIDE, (4, 0))]
        assert displaced(Waiting((9, 0), 1, 0.0, rank=MAIN), running) == (4, 0)
        assert displaced(Waiting((9, 0), 1, 0.0, rank=SUBAGENT), running[:2]) is None
        assert displaced(Waiting((0, 0), 1, 0.0, rank=SIDE), running) is None

    @given(
        running=st.dictionaries(st.integers(0, 99), st.integers(0, 2), min_size=1),
        rank=st.integers(0, 2),
    )
    def test_nobody_displaces_whoever_could_displace_it(self, running: dict[int, int], rank: int) -> None:
        """No ping-pong: what makes way cannot come back by making the other go."""
        keyed = [(each, (order, 0)) for order, each in running.items()]
        out = displaced(Waiting((100, 0), 1, 0.0, rank=rank), keyed)
        if out is None:
            assert all(each >= rank for each, _ in keyed)
            return
        theirs = next(each for each, key in keyed if key == out)
        assert theirs < rank
        assert displaced(Waiting(out, 1, 0.0, rank=theirs), [(rank, (100, 0))]) is None

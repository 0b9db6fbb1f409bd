from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from random import Random
from statistics import mean

import pytest

from services.inference_worker.engine.lookup import LookupDrafter
from services.inference_worker.engine.speculation import Pacer
from tests.unit.inference_worker.engine.speculating import (
    FLAT,
    JUMP,
    STEEP,
    Curve,
    answer,
    race,
    speculative_answer,
)

CURVES = pytest.mark.parametrize("cost", [STEEP, JUMP, FLAT], ids=["steep", "jump", "flat"])
KEY = (1, 0)
DRAFT = 0.15


def speed(cost: Curve, acceptance: float, rounds: int = 5, **options: int | float | bool) -> float:
    return mean(race(cost, lambda _: acceptance, seed=seed, **options).speed for seed in range(rounds))


# -- what it is worth --------------------------------------------------------------------------------


@CURVES
@pytest.mark.parametrize("streams", [1, 4, 16])
@pytest.mark.parametrize("draft", [0.0, DRAFT])
def test_guesses_that_are_never_right_cost_next_to_nothing(cost: Curve, streams: int, draft: float) -> None:
    pacer = Pacer(free=not draft)
    # The first answers of a process also learn what rows cost.
    speeds = [
        race(cost, lambda _: 0.0, 150, streams, draft=draft, pacer=pacer, seed=seed).speed
        for seed in range(6)
    ]

    assert min(speeds) >= 0.97


@CURVES
@pytest.mark.parametrize("draft", [0.0, DRAFT])
def test_what_others_gained_is_not_lost_by_those_who_are_never_right(cost: Curve, draft: float) -> None:
    pacer = Pacer(free=not draft)
    for seed in range(6):
        race(cost, lambda _: 1.0, 300, draft=draft, pacer=pacer, seed=seed)
        assert race(cost, lambda _: 0.0, 150, draft=draft, pacer=pacer, seed=seed).speed >= 0.97


@pytest.mark.parametrize(
    ("cost", "acceptance", "streams", "least"),
    [
        # 0.97 and above: of no use, so it must not cost. All accepted on the steep curve is 2.8 at most.
        (STEEP, 0.3, 1, 0.97),
        (STEEP, 0.7, 1, 1.22),
        (STEEP, 0.9, 1, 1.6),
        (STEEP, 0.97, 1, 2.1),
        (STEEP, 1.0, 1, 2.6),
        (JUMP, 0.3, 1, 0.97),
        (JUMP, 0.7, 1, 1.0),
        (JUMP, 1.0, 1, 2.6),
        (FLAT, 0.3, 1, 1.25),
        (FLAT, 0.7, 1, 2.7),
        (FLAT, 1.0, 1, 30.0),
        (STEEP, 0.3, 4, 0.97),
        (STEEP, 1.0, 4, 1.4),
        (STEEP, 0.7, 16, 0.95),
        (FLAT, 0.7, 4, 2.2),
        (FLAT, 0.7, 16, 1.7),
    ],
)
def test_free_guesses(cost: Curve, acceptance: float, streams: int, least: float) -> None:
    assert speed(cost, acceptance, streams=streams) >= least


@pytest.mark.parametrize(
    ("cost", "acceptance", "streams", "least"),
    [
        (STEEP, 0.3, 1, 0.96),
        (STEEP, 0.9, 1, 1.2),
        (STEEP, 1.0, 1, 1.85),
        (FLAT, 0.7, 1, 1.5),
        (FLAT, 1.0, 1, 5.0),
        (FLAT, 0.9, 4, 2.2),
        (FLAT, 0.97, 16, 2.4),
        (STEEP, 1.0, 4, 1.25),
    ],
)
def test_guesses_that_a_draft_model_makes(cost: Curve, acceptance: float, streams: int, least: float) -> None:
    """Each costs 0.15 of a step to draft; an early end of drafts is not counted on."""
    assert speed(cost, acceptance, streams=streams, free=False, draft=DRAFT) >= least


@CURVES
def test_text_that_changes_in_the_middle(cost: Curve) -> None:
    copies_first = race(cost, lambda said: float(said < 200))
    copies_last = race(cost, lambda said: float(said > 200))
    at_turns = race(cost, lambda said: 0.97 * (said // 40 % 2))

    assert copies_first.speed > 1.35
    assert copies_last.speed > 1.35
    assert at_turns.speed > 1.1


@pytest.mark.parametrize(("cost", "least"), [(FLAT, 1.5), (STEEP, 1.2)])
def test_a_draft_model_is_tried_again_after_it_was_of_no_use(cost: Curve, least: float) -> None:
    assert race(cost, lambda said: float(said > 200), 600, free=False, draft=DRAFT).speed > least


def test_reading_a_prompt_is_not_held_against_a_draft_model() -> None:
    pacer = Pacer(free=False)
    for _ in range(20):
        wanted = pacer.wanted([KEY], 0, 64)
        fed = pacer.share(wanted, 1, 0, 64).get(KEY, 0)
        pacer.observe(1 + fed, 0.03, 0.001 * wanted.get(KEY, 0), wanted.get(KEY, 0))
        pacer.settle(KEY, [1] * wanted.get(KEY, 0), fed, [1] * (fed + 1))
    for _ in range(10):
        # It reads a long prompt and gives no guess yet.
        assert pacer.wanted([KEY], 0, 64)
        pacer.share({}, 1, 0, 64)
        pacer.observe(1, 0.03, 0.5, 0)
        pacer.settle(KEY, (), 0, [1])

    assert pacer.wanted([KEY], 0, 64)[KEY] > 8


def test_guesses_grow_when_all_are_right_and_rows_are_cheap() -> None:
    # One row more would be the first of another class.
    assert race(FLAT, lambda _: 1.0).most == 63
    assert race(STEEP, lambda _: 1.0).most >= 16


# -- bounds ------------------------------------------------------------------------------------------


def warm(pacer: Pacer, acceptance: float = 1.0, cost: Curve = FLAT) -> Pacer:
    race(cost, lambda _: acceptance, pacer=pacer)
    return pacer


def trust(pacer: Pacer, *keys: tuple[int, int]) -> None:
    for key in keys:
        pacer.settle(key, [1] * 20, 0, [1] * 20)


def test_no_more_rows_than_there_is_room_for() -> None:
    pacer = warm(Pacer())
    keys = [(1, 0), (1, 1), (2, 0)]
    trust(pacer, *keys)
    for rows in (3, 6):
        pacer.observe(rows, 0.03)

    fed = pacer.share(dict.fromkeys(keys, 64), 3, 0, 10)

    assert 0 < sum(fed.values()) <= 10
    assert pacer.share(dict.fromkeys(keys, 64), 3, 0, 0) == {}
    assert pacer.wanted(keys, 0, 0) == {}


def test_no_more_guesses_than_there_are_and_than_are_allowed() -> None:
    pacer = warm(Pacer(most=6))
    trust(pacer, KEY)

    assert pacer.wanted([KEY], 0, 99) == {KEY: 6}
    assert pacer.share({KEY: 3}, 1, 0, 99) == {KEY: 3}
    assert pacer.share({KEY: 50}, 1, 0, 99) == {KEY: 6}
    assert pacer.share({KEY: 0}, 1, 0, 99) == {}
    assert Pacer(most=0).wanted([KEY], 0, 99) == {}


def test_the_stream_that_is_right_more_often_gets_more() -> None:
    pacer = warm(Pacer(), cost=STEEP)
    pacer.observe(2, 0.03 * STEEP(2))
    good, bad = (1, 0), (2, 0)
    for _ in range(30):
        pacer.settle(good, [1], 0, [1])
        pacer.settle(bad, [1], 0, [2])

    fed = pacer.share({good: 16, bad: 16}, 2, 0, 64)

    assert fed.get(good, 0) >= 2
    assert bad not in fed


def test_beside_a_prompt_rows_are_nearly_free() -> None:
    """The step is long anyway, so even doubtful guesses are worth a row."""
    pacer = warm(Pacer(), cost=STEEP)
    for _ in range(4):
        pacer.observe(256, 3.0)
        pacer.observe(288, 3.3)
        pacer.observe(1, 0.03)
    pacer.settle(KEY, [1, 2], 0, [1, 1])

    alone = pacer.share({KEY: 64}, 1, 0, 64).get(KEY, 0)
    beside = pacer.share({KEY: 64}, 1, 256, 64).get(KEY, 0)

    assert beside > alone


def test_what_guesses_cost_is_compared_with_a_step_without() -> None:
    pacer = Pacer()
    trust(pacer, KEY)

    assert pacer.share({KEY: 8}, 1, 0, 64) == {}
    pacer.observe(1, 0.03)
    assert pacer.share({KEY: 8}, 1, 0, 64)[KEY] > 0


def test_a_draft_model_is_not_asked_where_it_does_not_pay() -> None:
    pacer = Pacer(free=False)
    asked = 0
    for _ in range(300):
        wanted = pacer.wanted([KEY], 0, 64)
        asked += bool(wanted)
        fed = pacer.share(wanted, 1, 0, 64).get(KEY, 0)
        pacer.observe(1 + fed, 0.03 * STEEP(1 + fed), 0.0045 * wanted.get(KEY, 0), wanted.get(KEY, 0))
        pacer.settle(KEY, [1] * wanted.get(KEY, 0), fed, [2])

    assert 0 < asked < 20


def test_the_books_of_what_was_fed_and_right() -> None:
    pacer = Pacer()
    pacer.observe(1, 0.03)
    pacer.share({KEY: 4}, 1, 0, 64)
    pacer.settle(KEY, [7, 8, 9], 3, [7, 8, 1])
    pacer.settle((2, 0), [7], 0, [7])

    assert (pacer.fed, pacer.accepted) == (3, 2)
    pacer.forget(KEY)
    pacer.forget(KEY)
    pacer.forget((2, 0))
    assert not pacer._streams


# -- what is said stays the same -----------------------------------------------------------------------


def chances(known: Sequence[int]) -> list[float]:
    """A model that likes to go on as it did before, and never knows for sure."""
    weights = [1.0] * 6
    weights[(known[-1] + 1) % 6] += 20.0
    weights[(known[-1] * 3 + known[-2]) % 6] += 5.0
    return weights


def drawn(seed: int, known: Sequence[int], random: Random | None = None) -> int:
    random = random or Random(seed)
    return random.choices(range(6), chances(known))[0]


@pytest.mark.parametrize("seed", range(20))
def test_with_one_random_stream_the_answer_is_the_same_token_for_token(seed: int) -> None:
    prompt = [0, 1, 2, 3, 4, 5, 0, 1]
    plain, guessed = Random(seed), Random(seed)

    expected = answer(prompt, 120, lambda known: drawn(seed, known, plain))
    found, steps = speculative_answer(
        prompt, 120, lambda known: drawn(seed, known, guessed), LookupDrafter(), Pacer()
    )

    assert found == expected
    assert steps < 110


def test_the_distribution_is_the_models() -> None:
    """Which token follows which, over many answers with different seeds."""
    prompt = [0, 1, 2, 3, 4, 5, 0, 1]
    counts = {True: Counter[tuple[int, int]](), False: Counter[tuple[int, int]]()}
    drafter, pacer = LookupDrafter(), Pacer()
    for seed in range(400):
        for speculates in (True, False):
            # Different seeds on both sides: only the distributions can agree.
            random = Random(seed + 10_000 * speculates)
            if speculates:
                said, _ = speculative_answer(
                    prompt, 40, lambda known, random=random: drawn(0, known, random), drafter, pacer
                )
            else:
                said = answer(prompt, 40, lambda known, random=random: drawn(0, known, random))
            counts[speculates].update(pairwise(said))
    total = counts[True].total()

    distance = sum(abs(counts[True][pair] - counts[False][pair]) for pair in counts[True] | counts[False])
    assert total == counts[False].total() == 400 * 39
    assert distance / (2 * total) < 0.03

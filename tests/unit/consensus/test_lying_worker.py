"""One worker that lies among four honest ones: fifty verified outcomes each, and it has no say any more.

The real strategy decides the same items with and without the liar, so what differs is the liar's doing alone.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.consensus.evaluation.bulk import Method, decide
from services.consensus.evaluation.population import Item, Population, item
from services.consensus.strategies.base import Kind
from services.consensus.strategies.catalogue import build
from services.consensus.weights import Record, Voter, weights

HONEST, ACCURACY, VERIFIED = 4, 0.8, 50
# Drawn records, and the items that each is tried on: together enough that a point is many standard errors.
RECORDS, ITEMS = 6, 1_000


def records(seed: int, liar_right: float) -> dict[Voter, Record]:
    """What verifying has found: the liar last."""
    rng = np.random.default_rng((seed, 50))
    found = {}
    for slot, accuracy in enumerate([*[ACCURACY] * HONEST, liar_right]):
        right = int(rng.binomial(VERIFIED, accuracy))
        found[Voter(f"voter-{slot}", "model")] = Record(right, VERIFIED - right)
    return found


def without_liar(drawn: Item) -> Item:
    return Item(tuple(replies[:-1] for replies in drawn.rounds))


def method(name: str, heavy: tuple[float, ...]) -> Method:
    return Method(build(name), build(name, takes_invalid=True), Kind.WORDS, heavy)


def loss(name: str, collision: float, liar_right: float = 0.0) -> float:
    """Points of accuracy that the liar costs."""
    people = Population(ACCURACY, collision=collision, voters=HONEST + 1, liars=1)
    lost = 0
    for seed in range(RECORDS):
        heavy = tuple(weights(records(seed, liar_right)).values())
        all_five, only_four = method(name, heavy), method(name, heavy[:-1])
        for number in range(ITEMS):
            drawn = item(people, 900 + seed, number)
            lost += decide(without_liar(drawn), only_four).right - decide(drawn, all_five).right
    return 100 * lost / (RECORDS * ITEMS)


@pytest.mark.parametrize("collision", [0.1, 1.0])
def test_the_weighted_vote_stays_within_a_point_of_the_vote_without_the_liar(collision: float) -> None:
    assert abs(loss("weighted_majority", collision)) <= 1.0


def test_who_told_the_truth_where_it_was_verified_half_of_the_time_keeps_little_to_lie_with() -> None:
    # Weights know what was verified, not what is: it costs more than a plain liar, yet less than no weights.
    assert 0 < loss("weighted_majority", 1.0, liar_right=0.5) < 0.3 * loss("majority", 1.0)


def test_without_weights_the_liar_costs_more_than_that() -> None:
    assert loss("majority", 1.0) > 3.0


def test_what_the_liar_says_of_itself_moves_nothing() -> None:
    # Its votes claim the highest log-probability there is, and its weight is at the lower end nevertheless.
    people = Population(ACCURACY, voters=HONEST + 1, liars=1)
    assert all(item(people, 1, number).rounds[0][-1].mean_logprob == 0.0 for number in range(10))
    humble = replace(item(people, 1, 1).rounds[0][-1], mean_logprob=-9.0)
    heavy = tuple(weights(records(0, 0.0)).values())
    for number in range(300):
        drawn = item(people, 1, number)
        quiet = Item(tuple((*each[:-1], replace(humble, tokens=each[-1].tokens)) for each in drawn.rounds))
        assert decide(drawn, method("weighted_majority", heavy)).value == (
            decide(quiet, method("weighted_majority", heavy)).value
        )

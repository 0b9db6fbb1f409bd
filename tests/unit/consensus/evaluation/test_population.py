"""The simulated voters are as they say."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from services.consensus.evaluation.population import RIGHT, SHARED, Population, draw, item

MANY = 4_000


def first_rounds(population: Population) -> list[Any]:
    return [item(population, 3, number).rounds[0] for number in range(MANY)]


def share(flags: list[bool]) -> float:
    return sum(flags) / len(flags)


def within(chance: float, count: int) -> Any:
    return pytest.approx(chance, abs=4 * (0.25 / count) ** 0.5)


@pytest.mark.parametrize("correlation", [0.0, 0.3])
def test_accuracy_correlation_and_collision(correlation: float) -> None:
    rounds = first_rounds(Population(0.6, correlation, 0.36))
    assert share([replies[0].value == RIGHT for replies in rounds]) == within(0.6, MANY)
    both = share([replies[0].value == RIGHT == replies[1].value for replies in rounds])
    assert both == within(0.36 + correlation * 0.24, MANY)
    wrong = [
        (one.value, other.value)
        for replies in rounds
        for one, other in pairwise(replies)
        if RIGHT not in (one.value, other.value)
    ]
    assert share([one == other for one, other in wrong]) == within(0.36, len(wrong) / 2)


def test_both_rounds_share_the_difficulty() -> None:
    people = Population(0.5, 0.5, voters=1)
    items = [item(people, 3, number) for number in range(MANY)]
    both = share([first[0].value == RIGHT == second[0].value for first, second in (i.rounds for i in items)])
    assert both == within(0.25 + 0.5 * 0.25, MANY)


def test_losses_hit_the_honest_in_the_first_round() -> None:
    people = Population(0.6, loss=0.3, liars=1)
    items = [item(people, 3, number) for number in range(MANY)]
    assert share([each.rounds[0][0].lost for each in items]) == within(0.3, MANY)
    assert not any(each.rounds[0][4].lost for each in items)
    assert not any(reply.lost for each in items for reply in each.rounds[1])


def test_a_liar_is_always_wrong_in_company_and_sure_of_it() -> None:
    for replies in first_rounds(Population(0.9, liars=2, collision=0.1)):
        assert [reply.value for reply in replies[3:]] == [SHARED, SHARED]
        assert replies[4].mean_logprob > max(reply.mean_logprob for reply in replies[:3])


def test_with_length_bias_mistakes_are_the_first_to_arrive() -> None:
    replies = [reply for round_ in first_rounds(Population(0.5, length_bias=0.8)) for reply in round_]
    slowest_short = min(reply.tokens for reply in replies if reply.value == RIGHT)
    wrong = [reply for reply in replies if reply.value != RIGHT]
    assert share([reply.tokens < slowest_short for reply in wrong]) == within(0.8, len(wrong))


def test_an_item_is_told_by_seed_and_number() -> None:
    people = Population(0.5, 0.1, 0.1)
    assert item(people, 1, 2) == item(people, 1, 2)
    assert len({str(item(people, seed, number)) for seed in (1, 2) for number in (1, 2)}) == 4


def test_a_draw_takes_equally_many_numbers_whatever_they_are() -> None:
    after = set()
    for accuracy in (0.1, 0.9):
        rng = np.random.default_rng(1)
        draw(Population(accuracy), rng)
        after.add(float(rng.random()))
    assert len(after) == 1


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("accuracy", {"accuracy": 1.1}),
        ("correlation", {"correlation": 1.0}),
        ("correlation", {"accuracy": 1.0, "correlation": 0.1}),
        ("collision", {"collision": -0.1}),
        ("voters", {"voters": 0}),
        ("liars", {"liars": 6}),
        ("loss", {"loss": 1.0}),
        ("length_bias", {"length_bias": 2.0}),
    ],
)
def test_what_cannot_be_is_refused_by_name(field: str, values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"^{field}: "):
        Population(**{"accuracy": 0.5, **values})

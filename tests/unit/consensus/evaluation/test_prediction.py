"""The formulas, against what others know of these distributions and against plain counting."""

from __future__ import annotations

import math
from itertools import product

import pytest

from services.consensus.evaluation.population import Population
from services.consensus.evaluation.prediction import Chances, Rule, Tally, beta_binomial, moment, predict
from services.consensus.evaluation.rules import agreement, heaviest, leader_veto, plurality

MAJORITY = agreement(3, 5)


def jury(p: float, voters: int) -> float:
    needed = voters // 2 + 1
    return sum(math.comb(voters, k) * p**k * (1 - p) ** (voters - k) for k in range(needed, voters + 1))


def test_condorcets_jury() -> None:
    for p, voters in product((0.4, 0.55, 0.7, 0.85), (1, 3, 5, 7)):
        chances = predict(Population(p, voters=voters), agreement(voters // 2 + 1, voters))
        assert chances.right == pytest.approx(jury(p, voters))
        # All wrong voters agree, so that one of both wins.
        assert chances.wrong == pytest.approx(1 - jury(p, voters))


def test_uniform_difficulty_makes_every_number_of_right_voters_equally_likely() -> None:
    people = Population(0.5, correlation=1 / 3)
    assert people.beta == (pytest.approx(1), pytest.approx(1))
    assert [beta_binomial(people, right) for right in range(6)] == pytest.approx([1 / 6] * 6)
    assert predict(people, MAJORITY).right == pytest.approx(0.5)


@pytest.mark.parametrize("correlation", [0.0, 0.1, 0.5])
def test_mean_and_variance_are_those_of_the_beta_binomial(correlation: float) -> None:
    people = Population(0.7, correlation)
    chances = [beta_binomial(people, right) for right in range(6)]
    mean = sum(right * chance for right, chance in enumerate(chances))
    variance = sum((right - mean) ** 2 * chance for right, chance in enumerate(chances))
    assert sum(chances) == pytest.approx(1)
    assert mean == pytest.approx(5 * 0.7)
    assert variance == pytest.approx(5 * 0.7 * 0.3 * (1 + 4 * correlation))


@pytest.mark.parametrize("correlation", [0.0, 0.3])
@pytest.mark.parametrize("rule", [agreement(2, 3), plurality], ids=["quorum", "plurality"])
@pytest.mark.parametrize("liars", [0, 1])
def test_two_rounds_are_what_counting_every_case_gives(correlation: float, rule: Rule, liars: int) -> None:
    people = Population(0.6, correlation, 0.49, voters=3, loss=0.2, liars=liars)
    assert predict(people, rule).right == pytest.approx(counted(people, rule).right)
    assert predict(people, rule).wrong == pytest.approx(counted(people, rule).wrong)


def counted(people: Population, rule: Rule) -> Chances:
    """Every voter of both rounds on its own, in every combination."""
    right = wrong = 0.0
    for first in product("lrso", repeat=people.honest):
        for second in product("rso", repeat=people.honest):
            both = first + second
            chance = moment(people, both.count("r"), both.count("s") + both.count("o"))
            chance *= 0.2 ** both.count("l") * 0.8 ** (people.honest - both.count("l"))
            chance *= 0.7 ** both.count("s") * 0.3 ** both.count("o")
            one, other = (
                rule(Tally(*(votes.count(kind) for kind in "lrso"), liars=people.liars))
                for votes in (first, second)
            )
            again = 0.0 if first.count("l") == people.voters else 1 - one.right - one.wrong
            right += chance * (one.right + again * other.right)
            wrong += chance * (one.wrong + again * other.wrong)
    return Chances(right, wrong)


def test_correlated_voters_gain_less() -> None:
    gains = [predict(Population(0.7, each), MAJORITY).right for each in (0.0, 0.1, 0.3, 0.5)]
    assert gains == sorted(gains, reverse=True)
    assert gains[-1] < 0.74 < 0.83 < gains[0]


class TestRules:
    def test_a_lost_voter_is_a_voter(self) -> None:
        assert agreement(2, 3)(Tally(2, 3, 0, 0)) == Chances(0, 0)
        assert agreement(2, 3)(Tally(1, 4, 0, 0)) == Chances(1, 0)

    def test_liars_make_the_shared_mistake(self) -> None:
        assert agreement(2, 3)(Tally(0, 1, 2, 0, liars=2)) == Chances(0, 1)

    def test_a_tie_is_a_fair_lot_among_honest_voters_and_a_liars_otherwise(self) -> None:
        assert plurality(Tally(0, 2, 2, 1)) == Chances(0.5, 0.5)
        assert plurality(Tally(0, 2, 1, 1, liars=1)) == Chances(0, 1)
        assert plurality(Tally(2, 1, 0, 2)) == Chances(pytest.approx(1 / 3), pytest.approx(2 / 3))
        assert plurality(Tally(5, 0, 0, 0)) == Chances(0, 0)

    def test_weights_outweigh_heads(self) -> None:
        assert heaviest(1.0, 0.01)(Tally(0, 2, 1, 0, liars=2)) == Chances(1, 0)
        assert heaviest(1.0, 4.0)(Tally(0, 3, 0, 0, liars=1)) == Chances(0, 1)

    def test_the_leader_speaks_unless_overruled(self) -> None:
        assert leader_veto(Tally(1, 1, 2, 0, liars=1)) == Chances(pytest.approx(1 / 3), pytest.approx(2 / 3))
        assert leader_veto(Tally(0, 1, 3, 0, liars=1)) == Chances(0, 1)
        assert leader_veto(Tally(4, 0, 0, 0, liars=1)) == Chances(0, 1)
        assert leader_veto(Tally(5, 0, 0, 0)) == Chances(0, 0)

"""Measured is as predicted for what votes rightly, and is not for what does not.

`SWARM_EVAL_ITEMS` sets the items a cell of the long form; `make eval` is its way with a table.
"""

from __future__ import annotations

import math
import os

import pytest

from services.consensus.evaluation import grid
from services.consensus.evaluation.bulk import Method
from services.consensus.evaluation.check import Counts, Finding, check, deviation, measure
from services.consensus.evaluation.population import Population
from services.consensus.evaluation.prediction import Chances, Rule
from services.consensus.evaluation.rules import SUBJECTS, Subject, agreement, plurality
from services.consensus.strategies.base import Kind, Strategy
from services.consensus.strategies.catalogue import build
from tests.unit.consensus.evaluation.mutants import (
    BreaksTiesByIndex,
    PeeksAtTheTruth,
    ShrinksTheQuorum,
    StopsTooEarly,
)

ITEMS = int(os.environ.get("SWARM_EVAL_ITEMS", "400"))
CELLS = grid.full() if "SWARM_EVAL_ITEMS" in os.environ else grid.quick()
TOOL_VOTE = agreement(2, 3)


def calls(strategy: Strategy, rule: Rule = TOOL_VOTE) -> Subject:
    return Subject(lambda _: Method(strategy, strategy), lambda _: rule)


def words(strategy: Strategy, rule: Rule = plurality) -> Subject:
    return Subject(lambda _: Method(strategy, strategy, Kind.WORDS), lambda _: rule)


def off(made: Subject, items: int = 500) -> set[str]:
    """The troubles in which it was caught."""
    findings = [one(made, cell, items, 77_000 + place) for place, cell in enumerate(grid.quick())]
    return {grid.trouble_of(found.population) for found in findings if not found.holds}


def one(made: Subject, population: Population, items: int, seed: int) -> Finding:
    (found,) = check(population, {"x": made}, items, seed)
    return found


@pytest.mark.parametrize("place", range(len(CELLS)))
def test_every_strategy_is_right_as_often_as_the_formulas_say(place: int) -> None:
    for found in check(CELLS[place], SUBJECTS, ITEMS, seed=5_000 + place):
        assert found.holds, found


def test_who_peeks_at_the_truth_is_caught_everywhere() -> None:
    assert off(calls(PeeksAtTheTruth(build("tool_vote")))) == set(grid.TROUBLES)
    assert off(words(PeeksAtTheTruth(build("majority")))) == set(grid.TROUBLES)


def test_who_breaks_ties_by_index_is_caught_where_the_last_is_the_surest() -> None:
    found = off(words(BreaksTiesByIndex()))
    assert "a liar in four" in found
    assert "none" not in found


def test_who_shrinks_the_quorum_is_caught_by_losses_and_only_by_them() -> None:
    assert off(calls(ShrinksTheQuorum())) == {"losses", "all of it"}


def test_who_stops_too_early_is_caught() -> None:
    assert "length bias" in off(calls(StopsTooEarly()))


@pytest.mark.parametrize("rule", ["beta_95", "unanimous_w"])
def test_statistical_rules_to_stop_early_are_not_lossless(rule: str) -> None:
    many = Population(0.6, voters=11, length_bias=0.8)
    assert one(words(build("majority")), many, 1_000, 1).holds
    assert not one(words(build("majority", rule)), many, 1_000, 1).holds


def test_equal_seeds_give_equal_counts_and_others_do_not() -> None:
    people = Population(0.7, 0.3, 0.6, loss=0.1)
    made = {"tool_vote": SUBJECTS["tool_vote"].method(people)}
    assert measure(people, made, 200, 1) == measure(people, made, 200, 1) != measure(people, made, 200, 2)


def test_a_cell_that_is_off_is_measured_once_more_with_other_items() -> None:
    wrong = calls(build("tool_vote"), lambda _tally: Chances(0.5, 0.5))
    found = one(wrong, Population(0.9), 100, 1)
    assert found.again is not None
    assert found.again != found.measured
    assert not found.holds
    assert one(SUBJECTS["tool_vote"], Population(1.0), 100, 1).again is None


class TestDeviation:
    def test_it_counts_standard_deviations(self) -> None:
        assert deviation(Counts(10_000, 5_150, 4_850, 0, 0), Chances(0.5, 0.5)) == pytest.approx(3.0)

    def test_the_worse_of_right_and_wrong_counts(self) -> None:
        assert deviation(Counts(10_000, 5_000, 1_120, 0, 0), Chances(0.5, 0.1)) == pytest.approx(4.0)

    def test_what_cannot_be_may_not_happen(self) -> None:
        assert deviation(Counts(100, 100, 0, 0, 0), Chances(1.0, 0.0)) == 0
        assert deviation(Counts(100, 99, 1, 0, 0), Chances(1.0, 0.0)) == math.inf

    @pytest.mark.parametrize("mirrored", [False, True])
    def test_rare_events_are_judged_by_the_exact_tail(self, mirrored: bool) -> None:
        def sigmas(count: int) -> float:
            if mirrored:
                return deviation(Counts(10_000, 10_000 - count, 0, 0, 0), Chances(0.9999, 0.0))
            return deviation(Counts(10_000, count, 0, 0, 0), Chances(0.0001, 0.0))

        # One is expected. P(X >= 5) = 0.00366 and P(X >= 6) = 0.00059, by Poisson's law.
        assert sigmas(1) == 0
        assert sigmas(5) == pytest.approx(2.68, abs=0.01)
        assert sigmas(6) == pytest.approx(3.24, abs=0.01)

"""Stop rules by request: when they stop, and what they still may not do."""

from __future__ import annotations

import math

import pytest

from services.consensus.strategies.base import State
from services.consensus.strategies.catalogue import build
from tests.unit.consensus.strategies.voters import decide, winner


def certain(first: int, second: int) -> float:
    """P(Beta(first + 1, second + 1) > 1/2) by the trapezoid rule."""
    steps = 4000
    scale = math.gamma(first + second + 2) / math.gamma(first + 1) / math.gamma(second + 1)
    values = [(0.5 + 0.5 * i / steps) ** first * (0.5 - 0.5 * i / steps) ** second for i in range(steps + 1)]
    return scale * (sum(values) - (values[0] + values[-1]) / 2) * 0.5 / steps


@pytest.mark.parametrize(
    "letters", ["aaa", "aaaa", "aaaaab", "aaaaaab", "aaaaaaab", "aaaaaaabb", "aaaaaaaabb"]
)
def test_beta_95_stops_as_soon_as_the_lead_is_certain_enough(letters: str) -> None:
    stopped = certain(letters.count("a"), letters.count("b")) > 0.95
    strategy = build("majority", "beta_95")
    # The `a`s first would have stopped it before.
    order = letters[::-1]
    assert (winner(strategy, order, 31) == "a") is stopped
    assert winner(build("majority"), order, 31) == "open"


def test_unanimous_w_stops_after_three_equal_votes() -> None:
    strategy = build("majority", "unanimous_w")
    assert winner(strategy, "aa", 9) == "open"
    assert winner(strategy, "aaa", 9) == "a"
    assert winner(strategy, "aba", 9) == "open"
    assert winner(strategy, "baaa", 9) == "open"


def test_a_verdict_stays_whatever_comes_after_it() -> None:
    strategy = build("majority", "unanimous_w")
    assert decide(strategy, "aaabbbbbb").key == decide(strategy, "aaa", 9).key


def test_winners_are_only_those_that_have_voted() -> None:
    assert decide(build("majority", "unanimous_w"), "aaa", 9).winners == (0, 1, 2)


def test_lost_votes_still_count_against_a_calls_quorum() -> None:
    strategy = build("tool_vote", "beta_95")
    assert winner(strategy, "AAAA", 9) == "A"
    assert decide(strategy, "llllAAAA", 9).state is State.SPLIT

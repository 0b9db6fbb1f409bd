"""Majority by heads and by weights."""

from __future__ import annotations

import pytest

from services.consensus.strategies.plurality import MOST, Majority, WeightedMajority
from tests.unit.consensus.strategies.voters import decide, winner


@pytest.mark.parametrize(
    ("letters", "voters", "found"),
    [
        ("aab", 3, "a"),
        ("aabbb", 5, "b"),
        ("aabc", 4, "a"),  # more than any other is enough for words
        ("aaabc", 7, "open"),  # the two that are out could draw level
        ("aaaabc", 7, "a"),
        ("aaa", 5, "a"),
        ("aa", 5, "open"),
        ("AAAAb", 5, "A"),
        ("AAAbb", 5, "split"),  # a call needs two thirds
        ("AAAll", 5, "split"),
        ("AAABB", 5, "split"),
        ("tta", 3, "t"),
        ("iia", 3, "a"),
        ("lll", 3, "split"),
    ],
)
def test_the_largest_cluster_wins(letters: str, voters: int, found: str) -> None:
    assert winner(Majority(), letters, voters) == found


def test_of_equally_many_the_surest_wins() -> None:
    assert winner(Majority(), "ab", mean_logprob=[-2.0, -1.0]) == "b"
    assert winner(Majority(), "ab", mean_logprob=[-1.0, -2.0]) == "a"


def test_invalid_calls_win_once_the_model_was_told() -> None:
    assert winner(Majority(takes_invalid=True), "iia") == "i"


def test_heavier_votes_win_over_more_votes() -> None:
    assert winner(WeightedMajority(), "aab", weight=[0.4, 0.4, 2.0]) == "b"
    assert winner(WeightedMajority(), "aab", weight=[1.4, 1.4, 2.0]) == "a"


def test_a_vote_of_negative_weight_speaks_against_its_answer() -> None:
    assert winner(WeightedMajority(), "aaab", weight=[1.0, -2.0, 0.5, 0.1]) == "b"


def test_no_vote_weighs_more_than_the_most() -> None:
    assert winner(WeightedMajority(), "aab", weight=[3.0, 3.0, 1e9]) == "a"
    assert winner(WeightedMajority(), "aab", weight=[MOST, MOST, float("inf")]) == "a"


def test_it_is_open_while_one_heavy_vote_could_turn_it() -> None:
    assert winner(WeightedMajority(), "aaa", 4, weight=[1.0] * 3) == "open"
    assert winner(WeightedMajority(), "aaa", 4, weight=[2.0] * 3) == "a"


def test_heavy_votes_do_not_replace_a_calls_quorum() -> None:
    assert winner(WeightedMajority(), "AAabc", weight=[4.0, 4.0, 0.1, 0.1, 0.1]) == "split"
    assert decide(WeightedMajority(), "AAAAb", weight=[1.0] * 5).quorum == 4

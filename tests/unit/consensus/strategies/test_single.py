"""One voter's answer: the best worker's, the first, or the leader's unless overruled."""

from __future__ import annotations

import pytest

from services.consensus.strategies.base import Kind, State, Vote
from services.consensus.strategies.leader_veto import LeaderVeto
from services.consensus.strategies.single import BestWorker, Fastest
from tests.unit.consensus.strategies.voters import decide, votes, winner


def test_the_best_workers_answer_stands_against_all_others() -> None:
    assert winner(BestWorker(), "abb", weight=[2.0, 1.0, 1.0]) == "a"
    assert winner(BestWorker(), "abb", weight=[1.0, 1.0, 2.0]) == "b"
    assert winner(BestWorker(), "Abb") == "A"
    assert winner(BestWorker(), "lba") == "b"
    assert winner(BestWorker(), "a", 2) == "open"


@pytest.mark.parametrize(
    ("letters", "voters", "found"),
    [("b", 5, "b"), ("lAa", 5, "A"), ("tb", 5, "b"), ("tl", 3, "open"), ("tll", 3, "t"), ("ll", 2, "split")],
)
def test_the_first_complete_answer_wins(letters: str, voters: int, found: str) -> None:
    assert winner(Fastest(), letters, voters) == found


@pytest.mark.parametrize(
    ("letters", "voters", "found"),
    [
        ("abc", 3, "a"),
        ("abb", 3, "b"),  # more than half overrule
        ("abbc", 4, "a"),
        ("ABBBb", 5, "A"),  # a call needs two thirds to overrule
        ("ABBBB", 5, "B"),
        ("Aabcl", 5, "A"),
        ("abc", 5, "open"),
        ("abca", 5, "a"),
        ("lba", 3, "b"),  # the next one leads
        ("ill", 3, "split"),
        ("tll", 3, "split"),
    ],
)
def test_the_leaders_answer_stands_unless_a_quorum_agrees_on_another(
    letters: str, voters: int, found: str
) -> None:
    assert winner(LeaderVeto(), letters, voters) == found


def test_the_leader_is_known_by_its_number_in_every_round_and_whenever_it_comes() -> None:
    late = [Vote(7, "Zeus", Kind.WORDS, "x"), Vote(6, "Zeus", Kind.WORDS, "y")]
    assert LeaderVeto().decide(late[:1], 3).state is State.OPEN
    verdict = LeaderVeto().decide([*late, Vote(8, "Zeus", Kind.LOST)], 3)
    assert (verdict.key, verdict.winners) == ("y", (6,))


def test_winners_are_all_that_said_the_same() -> None:
    assert decide(LeaderVeto(), "abacb").winners == (0, 2)
    assert decide(BestWorker(), "aba").winners == (0, 2)
    assert [vote.candidate for vote in votes("aba")] == [0, 1, 2]

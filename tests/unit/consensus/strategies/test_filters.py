"""Strategies in which not all votes count: the surest, and the first."""

from __future__ import annotations

from services.consensus.strategies.confidence import Confidence
from services.consensus.strategies.short_m import ShortM
from tests.unit.consensus.strategies.voters import decide, winner


def test_the_surer_half_votes() -> None:
    sure = [-5.0, -5.0, -0.1, -0.2, -0.3]
    assert winner(Confidence(), "aabcb", least_logprob=sure) == "b"
    assert winner(Confidence(share=1.0), "aaabb", least_logprob=sure) == "a"
    assert winner(Confidence(share=0.1), "aabcb", least_logprob=sure) == "b"


def test_it_waits_for_all_votes() -> None:
    assert winner(Confidence(), "aaaa", 5) == "open"


def test_the_quorum_is_of_the_share_however_many_are_lost() -> None:
    assert decide(Confidence(), "AAAbb", least_logprob=[-1.0, -1.0, -1.0, -2.0, -2.0]).quorum == 2
    assert winner(Confidence(), "Allll") == "split"
    assert winner(Confidence(), "AAlll") == "A"


def test_those_that_were_filtered_out_still_voted_for_what_won() -> None:
    assert decide(Confidence(), "aaab", least_logprob=[-1.0, -1.0, -9.0, -9.0]).winners == (0, 1, 2)


def test_the_first_to_finish_vote() -> None:
    assert winner(ShortM(), "aabbb") == "a"
    assert winner(ShortM(), "aab", 5) == "a"
    assert winner(ShortM(m=1), "b", 5) == "b"
    assert winner(ShortM(), "laab", 5) == "a"
    assert winner(ShortM(), "ab", 5) == "open"


def test_of_equally_many_the_shortest_wins() -> None:
    assert winner(ShortM(m=2), "abb", tokens=[9, 3, 1]) == "b"
    assert winner(ShortM(m=2), "abb", tokens=[3, 9, 1]) == "a"


def test_a_lost_vote_does_not_make_it_easier_for_a_call() -> None:
    assert decide(ShortM(), "AAbll").quorum == 2
    assert winner(ShortM(), "AAbll") == "A"
    assert winner(ShortM(), "Allll") == "split"

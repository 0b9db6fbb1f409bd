"""Ballots for the metadata, and the words for a vote without result."""

from __future__ import annotations

import math

import pytest

from services.consensus.ballots import ballots, disagreement, unanimous
from services.consensus.events import CallChecks
from services.consensus.strategies.base import Kind, State, Verdict, Vote

CAST = [
    Vote(1, "Hera", Kind.CALLS, "k2", 'bash {"command": "rm"}', 1.0, -0.5),
    Vote(0, "Zeus", Kind.CALLS, "k1", 'bash {"command": "ls"}', 1.0, -0.25),
    Vote(2, "Hera", Kind.WORDS, "", "text"),
    Vote(3, "Hera", Kind.LOST, "", "lost"),
]


def test_winners_are_marked_and_candidates_ordered() -> None:
    told = ballots("tool_vote", Verdict(State.WON, 2, Kind.CALLS, "k1", (0,)), CAST, 1, 40)
    assert [(each.candidate, each.won) for each in told.ballots] == [
        (0, True), (1, False), (2, False), (3, False),
    ]  # fmt: skip
    assert (told.ballots[0].key, told.ballots[0].mean_logprob) == ("k1", -0.25)
    assert (told.decided, told.quorum, told.generated_tokens) == (True, 2, 40)


def test_without_a_verdict_nobody_won() -> None:
    told = ballots("tool_vote", Verdict(State.SPLIT, 3), CAST, 2, 40)
    assert not told.decided
    assert not any(each.won for each in told.ballots)


def test_where_nobody_votes_everybody_wins() -> None:
    assert all(each.won for each in unanimous("best_worker", CAST, 40).ballots)


def test_the_disagreement_names_and_counts_the_proposals() -> None:
    text = disagreement([*CAST, *CAST], 2, 3, "The queue is full.")
    assert "2 rounds of 4 votes, 3 equal ones" in text
    for line in ('- 2 × bash {"command": "ls"}', "- 2 × an answer in words", "- 2 × lost"):
        assert line in text
    assert "could not be held: The queue is full." in text


def test_agreement_and_clusters_are_those_of_the_last_round() -> None:
    first = [Vote(0, "Zeus", Kind.CALLS, "a"), Vote(1, "Hera", Kind.CALLS, "b"), Vote(2, "Ares", Kind.LOST)]
    second = [
        Vote(3, "Zeus", Kind.CALLS, "c", mean_logprob=-1.0, tokens=1),
        Vote(4, "Hera", Kind.CALLS, "c", mean_logprob=-2.0, tokens=3),
        Vote(5, "Ares", Kind.LOST),
    ]
    won = Verdict(State.WON, 2, Kind.CALLS, "c", (3, 4))
    told = ballots(
        "majority", won, [*second, *first], 2, 9, lost_workers=["Ares", "Ares"], early_stop="beta_95"
    )
    assert (told.clusters, told.agreement) == (1, 2 / 3)
    assert told.confidence == pytest.approx(math.exp(-7 / 4))
    assert (told.lost_workers, told.early_stop) == (("Ares",), "beta_95")
    assert [each.kind for each in told.ballots][-1] == "lost"
    split = ballots("majority", Verdict(State.SPLIT, 2), first, 1, 9)
    assert (split.clusters, split.agreement, split.confidence) == (2, 0, 0)


def test_where_nobody_votes_there_is_nothing_to_agree_on() -> None:
    cast = [Vote(each, "Zeus", Kind.WORDS, tokens=1) for each in range(4)]
    told = unanimous("best_worker", cast, 4, superseded=[0], checks=CallChecks(retried=True))
    assert (told.agreement, told.clusters) == (1, 3)

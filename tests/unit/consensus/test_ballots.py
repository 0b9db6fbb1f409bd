"""Ballots for the metadata, and the words for a vote without result."""

from __future__ import annotations

from services.consensus.ballots import ballots, disagreement, unanimous
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

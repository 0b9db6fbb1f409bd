"""Every vote of up to five voters, to the last: stopping early is lossless and as early as can be."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import product

import pytest

from services.consensus.strategies.base import Kind, State, Verdict, Vote
from services.consensus.strategies.quorum import Quorums
from services.consensus.strategies.risk import Risk
from services.consensus.strategies.tool_vote import ToolVote

# Two calls that read, one that writes, one that destroys, words, and a vote for nothing.
CAST = {
    "R": (Kind.CALLS, Risk.READING),
    "S": (Kind.CALLS, Risk.READING),
    "W": (Kind.CALLS, Risk.WRITING),
    "D": (Kind.CALLS, Risk.DESTRUCTIVE),
    "w": (Kind.WORDS, Risk.READING),
    "l": (Kind.LOST, Risk.READING),
}
VOTERS = (1, 2, 3, 4, 5)
QUORUMS = {
    "default": Quorums(),
    "steps": Quorums(Fraction(51, 100), Fraction(4, 5), Fraction(1)),
    "all": Quorums(Fraction(1), Fraction(1), Fraction(1)),
}
Ending = tuple[State, Kind | None, str]


def decide(letters: str, voters: int, quorums: Quorums) -> Verdict:
    votes = [
        Vote(number, "Zeus", CAST[letter][0], letter if letter in "RSWD" else "", risk=CAST[letter][1])
        for number, letter in enumerate(letters)
    ]
    return ToolVote(quorums).decide(votes, voters)


def ending(verdict: Verdict) -> Ending:
    return verdict.state, verdict.kind, verdict.key


def words(length: int) -> Iterator[str]:
    return ("".join(letters) for letters in product(CAST, repeat=length))


@pytest.mark.parametrize("quorums", QUORUMS.values(), ids=QUORUMS)
@pytest.mark.parametrize("voters", VOTERS)
def test_early_verdicts_are_final_and_open_ones_are_not(voters: int, quorums: Quorums) -> None:
    # What each beginning can still come to, from the whole votes back to the first.
    endings = {letters: {ending(decide(letters, voters, quorums))} for letters in words(voters)}
    assert all(state is not State.OPEN for ((state, _, _),) in endings.values())
    for length in range(voters - 1, -1, -1):
        shorter = {
            begun: set[Ending]().union(*(endings[begun + letter] for letter in CAST))
            for begun in words(length)
        }
        for begun, possible in shorter.items():
            early = decide(begun, voters, quorums)
            assert (early.state is State.OPEN) == (len(possible) > 1), (begun, possible)
            if early.state is not State.OPEN:
                assert possible == {ending(early)}, begun
        endings = shorter


@pytest.mark.parametrize("quorums", QUORUMS.values(), ids=QUORUMS)
@pytest.mark.parametrize("voters", VOTERS)
def test_what_wins_has_the_votes_that_its_risk_needs_of_all_voters(voters: int, quorums: Quorums) -> None:
    for letters in words(voters):
        verdict = decide(letters, voters, quorums)
        if verdict.kind is Kind.CALLS:
            needed = quorums.needed(voters, CAST[verdict.key][1])
            assert letters.count(verdict.key) == len(verdict.winners) >= needed == verdict.quorum
        elif verdict.kind is Kind.WORDS:
            assert 2 * letters.count("w") > voters
        else:
            assert all(letters.count(each) < quorums.needed(voters, CAST[each][1]) for each in "RSWD")

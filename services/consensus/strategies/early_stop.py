"""Stopping before the votes outstanding are ruled out. By request only.

The bounds hold for votes drawn in random order. Votes counted as they come are not: short answers come first,
and where short ones err alike these rules stop on their error. So they are not safe for samples as completed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from services.consensus.strategies.base import State, Strategy, Verdict, Vote
from services.consensus.strategies.clusters import Ballot, Cluster, leading

CONFIDENCE = 0.95
WINDOW = 3

# Whether the votes so far, in the order of arrival and by clusters, are enough.
StopRule = Callable[[Sequence[Vote], Sequence[Cluster]], bool]


def beta_95(votes: Sequence[Vote], clusters: Sequence[Cluster]) -> bool:
    """The largest cluster is ahead of the second for good with probability 0.95, by the Beta distribution of
    their share. Aggarwal et al. 2023, "Let's Sample Step by Step: Adaptive-Consistency". Unsafe for samples
    as completed.
    """
    sizes = sorted((len(each) for each in clusters), reverse=True)
    first, second = sizes[0], sizes[1] if len(sizes) > 1 else 0
    # P(Beta(first + 1, second + 1) > 1/2) is that of at most `first` heads in so many throws of a coin.
    throws = first + second + 1
    ways: int = sum(math.comb(throws, heads) for heads in range(first + 1))
    return ways > CONFIDENCE * 2.0**throws


def unanimous_w(votes: Sequence[Vote], clusters: Sequence[Cluster]) -> bool:
    """The first votes that came in, three of them, are all equal. Li et al. 2024, "Escape Sky-high Cost:
    Early-stopping Self-Consistency". Unsafe for samples as completed.
    """
    return len(votes) >= WINDOW and len(clusters) == 1 and len(clusters[0]) == len(votes)


class EarlyStop:
    """`inner`, stopped by `rule`: the votes outstanding are then taken to be as the largest cluster's.

    So a quorum is still a share of all voters, and a vote that is known to be lost is none for anything.
    A verdict, once given, stays: later votes are not looked at.
    """

    def __init__(self, inner: Strategy, rule: StopRule, ballot: Ballot) -> None:
        self.name = inner.name
        self._inner = inner
        self._rule = rule
        self._ballot = ballot

    def decide(self, votes: Sequence[Vote], voters: int) -> Verdict:
        for count in range(len(votes) + 1):
            seen = votes[:count]
            verdict = self._inner.decide(seen, voters)
            if verdict.state is State.OPEN and count:
                verdict = self._stopped(seen, voters) or verdict
            if verdict.state is not State.OPEN:
                return verdict
        return verdict

    def _stopped(self, votes: Sequence[Vote], voters: int) -> Verdict | None:
        clusters = self._ballot.clusters(votes)
        if not clusters or not self._rule(votes, clusters):
            return None
        first, _ = leading(clusters, len)
        cast = {vote.candidate for vote in votes}
        start = min(cast) // voters * voters
        absent = [each for each in range(start, start + voters) if each not in cast]
        expected = [replace(first.votes[0], candidate=each) for each in absent]
        verdict = self._inner.decide((*votes, *expected), voters)
        if verdict.state is not State.WON or (verdict.kind, verdict.key) != (first.kind, first.key):
            return None
        return replace(verdict, winners=tuple(each for each in verdict.winners if each in cast))


RULES: dict[str, StopRule] = {"beta_95": beta_95, "unanimous_w": unanimous_w}

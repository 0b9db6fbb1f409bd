"""The answer that most voters gave, each vote weighing the same or as much as its worker has earned.

Self-consistency: Wang et al. 2023, "Self-Consistency Improves Chain of Thought Reasoning in Language Models".
Weights: a voter's log-odds are the best ones where voters err independently (Nitzan and Paroush 1982).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from services.consensus.strategies.base import QuorumRule, Verdict, Vote, two_thirds
from services.consensus.strategies.clusters import Ballot, Cluster, leading

# The log-odds of being right in 99 of 100 cases: nobody's vote weighs more, and so no outstanding one can.
MOST = math.log(99)


class Majority:
    """The largest cluster of equal answers. A call needs its quorum of all voters besides.

    Equally large ones: the one with the surest vote. It stops once the lead exceeds the votes outstanding.
    """

    name = "majority"

    def __init__(self, quorum: QuorumRule = two_thirds, takes_invalid: bool = False) -> None:
        self._ballot = Ballot(quorum, takes_invalid)

    def decide(self, votes: Sequence[Vote], voters: int) -> Verdict:
        return plurality(self._ballot, votes, voters, most=1.0)


class WeightedMajority:
    """The cluster with the largest sum of weights, where a weight is the log-odds of a worker's accuracy.

    Whoever gives the weights gives a worker of which nothing is known the prior; a negative one is a vote
    against. A call needs its quorum of all voters besides, counted by heads.
    """

    name = "weighted_majority"

    def __init__(self, quorum: QuorumRule = two_thirds, takes_invalid: bool = False) -> None:
        self._ballot = Ballot(quorum, takes_invalid)

    def decide(self, votes: Sequence[Vote], voters: int) -> Verdict:
        return plurality(self._ballot, votes, voters, most=MOST)


def plurality(ballot: Ballot, votes: Sequence[Vote], voters: int, most: float) -> Verdict:
    """Lossless. `most`: what one vote can weigh; 1: each weighs the same."""
    outstanding = voters - len(votes)
    clusters = ballot.clusters(votes)
    if not clusters:
        return ballot.open(voters) if outstanding else ballot.split(voters)

    def strength(cluster: Cluster) -> float:
        if most == 1.0:
            return float(len(cluster))
        # Summed exactly, because the order of the votes must not matter.
        return math.fsum(max(-most, min(most, vote.weight)) for vote in cluster.votes)

    first, lead = leading(clusters, strength)
    if not outstanding:
        return ballot.won(voters, first)
    if lead <= outstanding * most:
        return ballot.open(voters)
    verdict = ballot.won(voters, first)
    reachable = len(first) + outstanding >= ballot.needed(voters, first)
    return ballot.open(voters) if verdict.kind is None and reachable else verdict

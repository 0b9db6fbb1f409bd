"""The answer that is most like all the others.

Minimum Bayes risk decoding (Kumar and Byrne 2004) with samples in place of the distribution, see Bertsch et
al. 2023, "It's MBR All the Way Down": self-consistency is the special case where likeness is equality.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from services.consensus.strategies.base import Kind, QuorumRule, Verdict, Vote, two_thirds
from services.consensus.strategies.clusters import Ballot, Cluster
from services.consensus.strategies.similarity import features, likeness


class Mbr:
    """The cluster whose answer has the largest sum of likeness to all votes. Calls are alike when they are
    equal, words by the edits between them, code by those between its syntax trees.

    A call needs its quorum of all voters besides. It waits for all votes.
    """

    name = "mbr"

    def __init__(self, quorum: QuorumRule = two_thirds, takes_invalid: bool = False) -> None:
        self._ballot = Ballot(quorum, takes_invalid)

    def decide(self, votes: Sequence[Vote], voters: int) -> Verdict:
        if len(votes) < voters:
            return self._ballot.open(voters)
        clusters = self._ballot.clusters(votes)
        if not clusters:
            return self._ballot.split(voters)
        utility = _utilities(clusters)
        chosen = max(clusters, key=lambda each: (utility(each), *each.surest))
        return self._ballot.won(voters, chosen)


def _utilities(clusters: Sequence[Cluster]) -> Callable[[Cluster], float]:
    # Equal answers have one text to compare: the one that sorts first, so that no order matters.
    texts = [min(vote.text for vote in each.votes) for each in clusters]
    sets = [features(text) for text in texts]
    table = [[0.0] * len(clusters) for _ in clusters]
    for i, one in enumerate(clusters):
        table[i][i] = 1.0
        for j in range(i):
            if one.kind is Kind.WORDS and clusters[j].kind is Kind.WORDS:
                table[i][j] = table[j][i] = likeness(sets[i], sets[j])
    sums = {
        (one.kind, one.key): math.fsum(row[j] * len(clusters[j]) for j in range(len(clusters)))
        for one, row in zip(clusters, table, strict=True)
    }
    return lambda each: sums[each.kind, each.key]

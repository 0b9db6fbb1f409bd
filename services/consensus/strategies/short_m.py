"""The first answers to be finished vote, the others are stopped.

Hassid et al. 2025, "Don't Overthink it. Preferring Shorter Thinking Chains for Improved LLM Reasoning".
"""

from __future__ import annotations

from collections.abc import Sequence

from services.consensus.strategies.base import QuorumRule, Verdict, Vote, two_thirds
from services.consensus.strategies.clusters import Ballot, leading


class ShortM:
    """The largest cluster among the first `m` votes that count; of equally large ones, the shortest answer's.

    A call needs its quorum of `m`, however many of them are lost.
    """

    name = "short_m"

    def __init__(
        self, quorum: QuorumRule = two_thirds, takes_invalid: bool = False, m: int | None = None
    ) -> None:
        """`m`: None for half of the voters, rounded up."""
        self._ballot = Ballot(quorum, takes_invalid)
        self._m = m

    def electorate(self, voters: int) -> int:
        return min(voters, self._m or -(-voters // 2))

    def decide(self, votes: Sequence[Vote], voters: int) -> Verdict:
        m = self.electorate(voters)
        counting = [vote for vote in votes if self._ballot.counts(vote)][:m]
        if len(counting) < m and len(votes) < voters:
            return self._ballot.open(m)
        clusters = self._ballot.clusters(counting)
        if not clusters:
            return self._ballot.split(m)
        top = max(len(each) for each in clusters)
        largest = [each for each in clusters if len(each) == top]
        chosen, _ = leading(largest, lambda each: -min(vote.tokens for vote in each.votes))
        return self._ballot.won(m, chosen)

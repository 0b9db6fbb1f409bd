"""The surest answers vote. Fu et al. 2025, "Deep Think with Confidence" (DeepConf).

An answer is as sure as its least sure stretch: the lowest mean log-probability over a window of the tokens of
its content (the paper: of its reasoning), or their mean where single tokens are not told, as in calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from services.consensus.strategies.base import QuorumRule, Verdict, Vote, two_thirds
from services.consensus.strategies.clusters import Ballot, leading


class Confidence:
    """Keeps the surest `share` of the voters, rounded up; the largest cluster among these wins.

    A call needs its quorum of so many, also when fewer are left because votes were lost. The workers tell
    their own log-probabilities, so this is for workers that are trusted. It waits for all votes.
    """

    name = "confidence"

    def __init__(
        self, quorum: QuorumRule = two_thirds, takes_invalid: bool = False, share: float = 0.5
    ) -> None:
        self._ballot = Ballot(quorum, takes_invalid)
        self._share = share

    def electorate(self, voters: int) -> int:
        return max(1, -int(-self._share * voters // 1))

    def decide(self, votes: Sequence[Vote], voters: int) -> Verdict:
        kept = self.electorate(voters)
        if len(votes) < voters:
            return self._ballot.open(kept)
        counting = sorted(
            (vote for vote in votes if self._ballot.counts(vote)),
            key=lambda vote: (-vote.least_logprob, -vote.mean_logprob, vote.kind, vote.key),
        )
        clusters = self._ballot.clusters(counting[:kept])
        if not clusters:
            return self._ballot.split(kept)
        chosen, _ = leading(clusters, len)
        verdict = self._ballot.won(kept, chosen)
        if verdict.kind is None:
            return verdict
        # Also those of the same answer that were filtered out voted for it.
        same = [vote.candidate for vote in counting if (vote.kind, vote.key) == (chosen.kind, chosen.key)]
        return replace(verdict, winners=tuple(sorted(same)))

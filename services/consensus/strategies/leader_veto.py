"""The leader's answer, unless so many others agree on another that they overrule it."""

from __future__ import annotations

from collections.abc import Sequence

from services.consensus.strategies.base import Kind, QuorumRule, State, Verdict, Vote, two_thirds
from services.consensus.strategies.clusters import CALLING, Ballot, Cluster


class LeaderVeto:
    """The leader is the lowest candidate whose vote counts; candidates are numbered on from round to round.

    Calls overrule it with their quorum of all voters, words with more than half. So one voter's call may
    win alone: whoever asks for this trusts the leader.
    """

    name = "leader_veto"

    def __init__(self, quorum: QuorumRule = two_thirds, takes_invalid: bool = False) -> None:
        self._ballot = Ballot(quorum, takes_invalid)

    def decide(self, votes: Sequence[Vote], voters: int) -> Verdict:
        clusters = self._ballot.clusters(votes)
        outstanding = voters - len(votes)
        for cluster in clusters:
            if len(cluster) >= self._needed(voters, cluster):
                return self._ballot.won(voters, cluster)
        leader = self._leader(votes, voters)
        # Those that could still overrule it, among them one that nobody has voted for yet.
        rivals = [each for each in clusters if leader is None or not _same(each, leader)]
        reachable = any(len(each) + outstanding >= self._needed(voters, each) for each in rivals)
        unseen = outstanding >= min(self._ballot.quorum(voters, None), voters // 2 + 1)
        if outstanding and (leader is None or reachable or unseen):
            return self._ballot.open(voters)
        if leader is None:
            return self._ballot.split(voters)
        own = next(each for each in clusters if _same(each, leader))
        return Verdict(State.WON, self._ballot.quorum(voters, None), own.kind, own.key, own.winners)

    def _needed(self, voters: int, cluster: Cluster) -> int:
        return self._ballot.needed(voters, cluster) if cluster.kind in CALLING else voters // 2 + 1

    def _leader(self, votes: Sequence[Vote], voters: int) -> Vote | None:
        """None: not known yet, or nobody's vote counts."""
        if not votes:
            return None
        cast = {vote.candidate: vote for vote in votes}
        first = min(cast) // voters * voters
        for candidate in range(first, first + voters):
            vote = cast.get(candidate)
            if vote is None:
                return None
            if self._ballot.counts(vote) and vote.kind is not Kind.CUT_OFF:
                return vote
        return None


def _same(cluster: Cluster, vote: Vote) -> bool:
    return (cluster.kind, cluster.key) == (vote.kind, vote.key)

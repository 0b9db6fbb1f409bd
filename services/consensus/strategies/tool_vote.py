"""Majority of canonical tool calls; an answer in words is a vote too."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from services.consensus.strategies.base import Kind, QuorumRule, State, Verdict, Vote, two_thirds

_CALLING = (Kind.CALLS, Kind.INVALID)


class ToolVote:
    """A call needs the quorum; words, and being cut off, which run nothing, need more than half.

    The share is always of all voters: a lost vote, or one for an invalid call, makes agreement harder,
    never easier. It stops as soon as the votes outstanding can change nothing.
    """

    name = "tool_vote"

    def __init__(self, quorum: QuorumRule = two_thirds, takes_invalid: bool = False) -> None:
        """`quorum` must always ask for more than half, or two calls could win, and the same of equal votes.

        `takes_invalid`: equal calls that no offered tool accepts win like any others. The model was told
        and wrote them again, so the client shall have them as they are.
        """
        self._quorum = quorum
        self._takes_invalid = takes_invalid

    def decide(self, votes: Sequence[Vote], voters: int) -> Verdict:
        clusters: dict[tuple[Kind, str], list[Vote]] = defaultdict(list)
        for vote in votes:
            if vote.kind.counts or (self._takes_invalid and vote.kind is Kind.INVALID and vote.key):
                clusters[vote.kind, vote.key].append(vote)
        outstanding = voters - len(votes)
        least = self._quorum(voters, None)

        for (kind, key), cluster in clusters.items():
            needed = self._needed(voters, cluster[0])
            if len(cluster) >= needed:
                quorum = needed if kind in _CALLING else least
                winners = tuple(sorted(vote.candidate for vote in cluster))
                return Verdict(State.WON, quorum, kind, key, winners)

        reachable = any(
            len(cluster) + outstanding >= self._needed(voters, cluster[0]) for cluster in clusters.values()
        )
        majority = voters // 2 + 1
        unseen = outstanding >= min(least, majority)
        if reachable or unseen:
            return Verdict(State.OPEN, least)
        # For people: what the proposal came short of that had the most votes.
        calls = [cluster for (kind, _), cluster in clusters.items() if kind in _CALLING]
        first = max(calls, key=lambda each: (len(each), self._needed(voters, each[0])), default=None)
        return Verdict(State.SPLIT, least if first is None else self._needed(voters, first[0]))

    def _needed(self, voters: int, vote: Vote) -> int:
        return self._quorum(voters, vote) if vote.kind in _CALLING else voters // 2 + 1

"""One voter's answer, whatever the others say: of the best worker, or of whoever is first."""

from __future__ import annotations

from collections.abc import Sequence

from services.consensus.strategies.base import Kind, QuorumRule, State, Verdict, Vote, two_thirds
from services.consensus.strategies.clusters import Ballot


class BestWorker:
    """The answer of the heaviest vote, of equal ones that of the lowest candidate: routing has put the
    first on the best worker. Nobody has to agree. A request that asks for it gets one candidate only.
    """

    name = "best_worker"

    def __init__(self, quorum: QuorumRule = two_thirds, takes_invalid: bool = False) -> None:
        """`quorum` is not asked for: nobody votes."""
        self._ballot = Ballot(quorum, takes_invalid)

    def decide(self, votes: Sequence[Vote], voters: int) -> Verdict:
        if len(votes) < voters:
            return Verdict(State.OPEN, 1)
        counting = [vote for vote in votes if self._ballot.counts(vote)]
        if not counting:
            return Verdict(State.SPLIT, 1)
        return _for(max(counting, key=lambda vote: (vote.weight, -vote.candidate)), counting)


class Fastest:
    """The first complete answer; one that was cut off only if there is no other. Nobody has to agree."""

    name = "fastest"

    def __init__(self, quorum: QuorumRule = two_thirds, takes_invalid: bool = False) -> None:
        """`quorum` is not asked for: nobody votes."""
        self._ballot = Ballot(quorum, takes_invalid)

    def decide(self, votes: Sequence[Vote], voters: int) -> Verdict:
        counting = [vote for vote in votes if self._ballot.counts(vote)]
        first = next((vote for vote in counting if vote.kind is not Kind.CUT_OFF), None)
        if first is None and len(votes) == voters and counting:
            first = counting[0]
        if first is None:
            return Verdict(State.OPEN if len(votes) < voters else State.SPLIT, 1)
        return _for(first, counting)


def _for(chosen: Vote, counting: Sequence[Vote]) -> Verdict:
    same = [vote.candidate for vote in counting if (vote.kind, vote.key) == (chosen.kind, chosen.key)]
    return Verdict(State.WON, 1, chosen.kind, chosen.key, tuple(sorted(same)))

"""Votes that agree, put together: what most strategies count. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from services.consensus.strategies.base import Kind, QuorumRule, State, Verdict, Vote

CALLING = (Kind.CALLS, Kind.INVALID)


@dataclass(frozen=True, slots=True)
class Cluster:
    """Votes of one `kind` and `key`, in order of arrival; never empty."""

    kind: Kind
    key: str
    votes: tuple[Vote, ...]

    def __len__(self) -> int:
        return len(self.votes)

    @property
    def winners(self) -> tuple[int, ...]:
        return tuple(sorted(vote.candidate for vote in self.votes))

    @property
    def surest(self) -> tuple[float, str, str]:
        """Orders clusters of equal strength; never by place or arrival, which say nothing of an answer."""
        return max(vote.mean_logprob for vote in self.votes), self.kind, self.key


@dataclass(frozen=True, slots=True)
class Ballot:
    """What a vote must be to count, and what a call needs to win.

    `quorum` always asks for more than half. `takes_invalid`: complete calls that no offered tool accepts
    count like any others, as they do once the model was told and wrote them again.
    """

    quorum: QuorumRule
    takes_invalid: bool = False

    def counts(self, vote: Vote) -> bool:
        return vote.kind.counts or (self.takes_invalid and vote.kind is Kind.INVALID and bool(vote.key))

    def clusters(self, votes: Iterable[Vote]) -> list[Cluster]:
        """Of the votes that count, in an order that does not depend on theirs."""
        found: dict[tuple[Kind, str], list[Vote]] = defaultdict(list)
        for vote in votes:
            if self.counts(vote):
                found[vote.kind, vote.key].append(vote)
        return [Cluster(kind, key, tuple(cast)) for (kind, key), cast in sorted(found.items())]

    def needed(self, voters: int, cluster: Cluster) -> int:
        """The votes without which this cluster does not win: a quorum for calls, one for words."""
        return self._quorum_of(voters, cluster) if cluster.kind in CALLING else 1

    def won(self, voters: int, cluster: Cluster) -> Verdict:
        """The verdict for `cluster`, if it has what it needs; else that nothing wins."""
        if len(cluster) < self.needed(voters, cluster):
            return self.split(voters)
        quorum = self.needed(voters, cluster) if cluster.kind in CALLING else self.quorum(voters, None)
        return Verdict(State.WON, quorum, cluster.kind, cluster.key, cluster.winners)

    def split(self, voters: int) -> Verdict:
        return Verdict(State.SPLIT, self.quorum(voters, None))

    def open(self, voters: int) -> Verdict:
        return Verdict(State.OPEN, self.quorum(voters, None))

    def _quorum_of(self, voters: int, cluster: Cluster) -> int:
        # The most careful reading of equal calls: a rule may look at more of a vote than its key.
        return max(self.quorum(voters, vote) for vote in cluster.votes)


def leading(clusters: Iterable[Cluster], strength: Callable[[Cluster], float]) -> tuple[Cluster, float]:
    """The strongest cluster of at least one and its lead over the next (0 for clusters not seen yet)."""
    ranked = sorted(clusters, key=lambda each: (strength(each), *each.surest), reverse=True)
    second = max(0.0, strength(ranked[1]) if len(ranked) > 1 else 0.0)
    return ranked[0], strength(ranked[0]) - second

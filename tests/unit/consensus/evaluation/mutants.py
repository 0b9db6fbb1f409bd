"""Ways to vote that look right and are not: the evaluation must notice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from services.consensus.evaluation.population import RIGHT
from services.consensus.strategies.base import Kind, State, Strategy, Verdict, Vote
from services.consensus.strategies.tool_vote import ToolVote


def won(votes: Sequence[Vote], key: str) -> Verdict:
    winners = tuple(sorted(vote.candidate for vote in votes if vote.key == key))
    return Verdict(State.WON, 1, votes[0].kind, key, winners)


class PeeksAtTheTruth:
    """Takes the right answer as soon as anybody gave it."""

    name = "peeks"

    def __init__(self, honest: Strategy) -> None:
        self._honest = honest

    def decide(self, votes: Sequence[Vote], voters: int) -> Verdict:
        verdict = self._honest.decide(votes, voters)
        right = [vote for vote in votes if vote.key == RIGHT]
        if verdict.state is not State.WON and right:
            return won(right, RIGHT)
        return verdict


class ShrinksTheQuorum:
    """Whoever was lost is no voter."""

    name = "shrinks"

    def decide(self, votes: Sequence[Vote], voters: int) -> Verdict:
        present = [vote for vote in votes if vote.kind is not Kind.LOST]
        lost = len(votes) - len(present)
        return (
            ToolVote().decide(present, voters - lost) if lost < voters else ToolVote().decide(votes, voters)
        )


class StopsTooEarly:
    """Believes the lead among the first three, though the others could still turn it."""

    name = "hasty"

    def decide(self, votes: Sequence[Vote], voters: int) -> Verdict:
        counts = Counter(vote.key for vote in votes[:3] if vote.key)
        if len(votes) >= 3 and counts and max(counts.values()) >= 2:
            leading = max(counts, key=lambda key: counts[key])
            return won([vote for vote in votes[:3] if vote.key == leading], leading)
        return ToolVote().decide(votes, voters)


class BreaksTiesByIndex:
    """What most gave; of equally frequent answers that of the lowest candidate."""

    name = "by index"

    def decide(self, votes: Sequence[Vote], voters: int) -> Verdict:
        if len(votes) < voters:
            return Verdict(State.OPEN, 1)
        cast = [vote for vote in sorted(votes, key=lambda vote: vote.candidate) if vote.kind is Kind.WORDS]
        counts = Counter(vote.key for vote in cast)
        if not counts:
            return Verdict(State.SPLIT, 1)
        # The first of equal ones, and a counter keeps the order in which it met them.
        return won(cast, max(counts, key=lambda key: counts[key]))

"""Ways to vote that look right and are not, and a plain plurality that is. The evaluation must tell them apart."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from services.consensus.evaluation.population import RIGHT
from services.consensus.strategies.base import Kind, State, Strategy, Verdict, Vote
from services.consensus.strategies.tool_vote import ToolVote


def won(votes: Sequence[Vote], key: str) -> Verdict:
    winners = tuple(sorted(vote.candidate for vote in votes if vote.key == key))
    return Verdict(State.WON, 1, Kind.CALLS, key, winners)


class PeeksAtTheTruth:
    """Takes the right answer as soon as anybody gave it."""

    name = "peeks"

    def __init__(self, honest: Strategy) -> None:
        self._honest = honest

    def decide(self, votes: Sequence[Vote], voters: int) -> Verdict:
        verdict = self._honest.decide(votes, voters)
        if verdict.state is not State.WON and any(vote.key == RIGHT for vote in votes):
            return won(votes, RIGHT)
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
            return won(votes[:3], max(counts, key=lambda key: counts[key]))
        return ToolVote().decide(votes, voters)


class Plurality:
    """What most gave; a tie goes to a lot that does not depend on who voted for what."""

    name = "plurality"

    def __init__(self, ties_by_index: bool = False) -> None:
        self._by_index = ties_by_index

    def decide(self, votes: Sequence[Vote], voters: int) -> Verdict:
        if len(votes) < voters:
            return Verdict(State.OPEN, 1)
        cast = [vote for vote in sorted(votes, key=lambda vote: vote.candidate) if vote.kind is Kind.CALLS]
        counts = Counter(vote.key for vote in cast)
        if not counts:
            return Verdict(State.SPLIT, 1)
        tied = [
            key for key in dict.fromkeys(vote.key for vote in cast) if counts[key] == max(counts.values())
        ]
        # A number that nothing else depends on, equal however often it is asked for the same votes.
        lot = random.Random(sum(vote.mean_logprob for vote in cast))
        return won(votes, tied[0] if self._by_index else lot.choice(tied))

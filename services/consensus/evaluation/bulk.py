"""One simulated item through a real `Strategy`: the votes as they arrive, at most two rounds. Pure.

This is the way in bulk. `live.py` asks the same items over RPCs, and both must come to the same end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.consensus.evaluation.population import RIGHT, Item, Reply
from services.consensus.strategies.base import Kind, State, Strategy, Verdict, Vote, spokesman


@dataclass(frozen=True, slots=True)
class Method:
    """A strategy as an election uses it: `last` is for the round after which nobody is asked again.

    `kind`: what the answers are, CALLS or WORDS. `weights` are those of the slots, from verified outcomes;
    empty: all weigh 1.
    """

    first: Strategy
    last: Strategy
    kind: Kind = Kind.CALLS
    weights: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """`value` is the answer that was given, None if none was. `heard`: votes that came before the end."""

    value: str | None
    rounds: int
    heard: int

    @property
    def right(self) -> bool:
        return self.value == RIGHT

    @property
    def wrong(self) -> bool:
        return self.value not in (None, RIGHT)


def decide(item: Item, method: Method) -> Outcome:
    heard = 0
    for number, replies in enumerate(item.rounds):
        strategy = method.last if number == len(item.rounds) - 1 else method.first
        votes, verdict = _poll(strategy, _arriving(replies, number, method), len(replies))
        heard += sum(vote.kind is not Kind.LOST for vote in votes)
        if verdict.state is State.WON:
            first = number * len(replies)
            # The leader is the first that is not lost; whichever of the winners speaks, they said the same.
            leader = first + next(slot for slot, reply in enumerate(replies) if not reply.lost)
            return Outcome(replies[spokesman(verdict, votes, leader) - first].value, number + 1, heard)
        if all(reply.lost for reply in replies):
            return Outcome(None, number + 1, heard)
    return Outcome(None, len(item.rounds), heard)


def _poll(strategy: Strategy, arriving: Sequence[Vote], voters: int) -> tuple[Sequence[Vote], Verdict]:
    """Vote by vote, until the strategy says that the rest can change nothing."""
    for count in range(1, voters + 1):
        verdict = strategy.decide(arriving[:count], voters)
        if verdict.state is not State.OPEN:
            return arriving[:count], verdict
    return arriving, verdict


def _arriving(replies: Sequence[Reply], number: int, method: Method) -> list[Vote]:
    """The votes, the shortest answer first."""
    votes = [
        Vote(
            candidate=number * len(replies) + slot,
            worker=f"voter-{slot}",
            kind=Kind.LOST if reply.lost else method.kind,
            key="" if reply.lost else reply.value,
            summary="lost" if reply.lost else reply.value,
            weight=method.weights[slot] if method.weights else 1.0,
            mean_logprob=0.0 if reply.lost else reply.mean_logprob,
            least_logprob=0.0 if reply.lost else reply.mean_logprob,
            text="" if reply.lost else reply.value,
            tokens=0 if reply.lost else reply.tokens,
        )
        for slot, reply in enumerate(replies)
    ]
    return sorted(votes, key=lambda vote: replies[vote.candidate - number * len(replies)].tokens)

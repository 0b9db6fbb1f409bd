"""The words that every strategy speaks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from services.consensus.strategies.risk import Risk


class Kind(StrEnum):
    """What a candidate's answer amounts to."""

    CALLS = "calls"
    WORDS = "words"
    # Ended by the token limit inside a tool call: there is no complete call to vote for.
    CUT_OFF = "cut_off"
    # Calls that no offered tool accepts: a vote for nothing, unless the strategy says otherwise. Without a
    # key: calls that policy or request refuse, which never win.
    INVALID = "invalid"
    # The worker died, was too slow or refused: a vote for nothing that still counts as one.
    LOST = "lost"

    @property
    def counts(self) -> bool:
        return self in (Kind.CALLS, Kind.WORDS, Kind.CUT_OFF)


@dataclass(frozen=True, slots=True)
class Vote:
    """One candidate's vote. Votes agree when `kind` and `key` are equal. Votes are given in order of arrival.

    `key` is empty unless `kind` is CALLS, INVALID with calls that are complete, or WORDS where answers are
    compared. `weight` comes from verified outcomes. `text` is the content without its reasoning, `tokens`
    what was generated for all of it. `mean_logprob` is per token, natural logarithm; `least_logprob` is the
    lowest mean over a window of tokens, and equals `mean_logprob` where no windows were told. `risk` is that
    of the calls, the highest unless told; votes of equal `key` are of equal risk.
    """

    candidate: int
    worker: str
    kind: Kind
    key: str = ""
    summary: str = ""
    weight: float = 1.0
    mean_logprob: float = 0.0
    least_logprob: float = 0.0
    text: str = ""
    tokens: int = 0
    risk: Risk = Risk.DESTRUCTIVE


class State(StrEnum):
    OPEN = "open"  # the votes that are still out can change it
    WON = "won"
    SPLIT = "split"  # nothing can win any more


@dataclass(frozen=True, slots=True)
class Verdict:
    """`winners` are the candidates that voted for what won, ascending; `quorum` is what a call needs."""

    state: State
    quorum: int
    kind: Kind | None = None
    key: str = ""
    winners: tuple[int, ...] = ()


class Strategy(Protocol):
    @property
    def name(self) -> str: ...

    def decide(self, votes: Sequence[Vote], voters: int) -> Verdict:
        """The verdict on the votes cast so far, of `voters` in all.

        Lossless: once it is not OPEN, no further vote may change state, kind or key.
        """


# How many of so many voters must agree on this vote; None: the least that any vote needs.
QuorumRule = Callable[[int, Vote | None], int]


def two_thirds(voters: int, _vote: Vote | None = None) -> int:
    """The same quorum for every call; `quorum.py` has the rule by risk."""
    return -(-2 * voters // 3)


def spokesman(verdict: Verdict, votes: Sequence[Vote], leader: int) -> int:
    """Whose answer is given: the leader's if it is among the winners, else that of the surest winner."""
    if leader in verdict.winners:
        return leader
    logprobs = {vote.candidate: vote.mean_logprob for vote in votes}
    return max(verdict.winners, key=lambda candidate: (logprobs[candidate], -candidate))

"""What a fan-out tells of: its lanes and what arrives on them."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.common.chat import Accepted, PrefillProgress, Usage
from services.common.errors import SwarmError
from services.consensus.drafts import CandidateEvent
from services.consensus.failover import Transcript
from services.consensus.ports import Worker

PromptEvent = Accepted | PrefillProgress | Usage


@dataclass(slots=True, eq=False)
class Lane:
    """The candidates of one call to one worker.

    `transcripts` are what another worker needs to go on with them, one for each; none where nobody could.
    `resumed`: the worker goes on with what another has begun.
    """

    worker: Worker
    candidates: range
    accepted: Accepted | None = None
    cached_tokens: int = 0
    usage: Usage | None = None
    lost: SwarmError | None = None
    open: set[int] = field(default_factory=set)  # candidates that have not finished
    moves: int = 0
    transcripts: tuple[Transcript, ...] = ()
    resumed: bool = False

    def usage_with(self, completion: int, reasoning: int) -> Usage:
        """The prompt's cost as the worker told it, at the end or while it prefilled, and these tokens."""
        if self.usage is not None:
            return Usage(self.usage.prompt_tokens, self.usage.cached_tokens, completion, reasoning)
        prompt = self.accepted.prompt_tokens if self.accepted else 0
        return Usage(prompt, self.cached_tokens, completion, reasoning)


@dataclass(frozen=True, slots=True)
class Prompted:
    """An event of a lane's whole call."""

    lane: Lane
    event: PromptEvent


@dataclass(frozen=True, slots=True)
class Piece:
    """Of one candidate's answer; `event.candidate` counts over all lanes."""

    lane: Lane
    event: CandidateEvent


@dataclass(frozen=True, slots=True)
class Moved:
    """The lane's candidates begin anew on another worker; what came from them is void."""

    lane: Lane


@dataclass(frozen=True, slots=True)
class Resumed:
    """The lane's worker is another one now, which goes on where the one before was; nothing is void."""

    lane: Lane


@dataclass(frozen=True, slots=True)
class Lost:
    """`candidates` will not finish."""

    lane: Lane
    candidates: tuple[int, ...]
    error: SwarmError


@dataclass(frozen=True, slots=True)
class Closed:
    """All of the lane's candidates have finished and its worker has hung up."""

    lane: Lane


Arrival = Prompted | Piece | Moved | Resumed | Lost | Closed

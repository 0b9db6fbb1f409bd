"""What a decision streams out, in domain words: the events of `swarm.consensus.v1.DecideEvent`."""

from __future__ import annotations

from dataclasses import dataclass

from services.common.chat import ChatEvent, ChatRequest


@dataclass(frozen=True, slots=True)
class Question:
    """One request to decide.

    `choices` answers are wanted (OpenAI's `n`); `voters` candidates vote on a single answer, 0: as
    configured. `chat.candidates` is ignored. `agent`: the swarm runs the tools itself. `strategy` and
    `early_stop` are names of the catalogue's; empty: chosen here, and lossless.
    `min_argument_logprob`: the least mean log-probability per token of its arguments with which a vote for a
    call counts; None: any.
    """

    chat: ChatRequest
    choices: int = 1
    voters: int = 0
    agent: bool = False
    strategy: str = ""
    early_stop: str = ""
    min_argument_logprob: float | None = None


@dataclass(frozen=True, slots=True)
class Spoken:
    """A chat event of one choice. Its `candidate`, where it has one, is the choice's number."""

    choice: int
    event: ChatEvent


@dataclass(frozen=True, slots=True)
class Ballot:
    """One candidate's vote as people see it. `key` is empty for words, unless answers were compared."""

    worker: str
    candidate: int
    key: str
    summary: str
    weight: float
    mean_logprob: float
    won: bool
    kind: str = ""
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class InvalidCall:
    """A call in the answer that does not fit what was offered; `index` is its place in its message."""

    choice: int
    index: int
    id: str
    name: str
    problem: str


@dataclass(frozen=True, slots=True)
class CallChecks:
    """`retried`: a call did not fit its tool's schema, and the model was told and asked once more.

    `invalid`: the calls of the answer that do not fit, passed on as they are.
    """

    retried: bool = False
    invalid: tuple[InvalidCall, ...] = ()

    def __bool__(self) -> bool:
        return self.retried or bool(self.invalid)


ALL_FITTED = CallChecks()


@dataclass(frozen=True, slots=True)
class Ballots:
    """How it was decided; comes once, before the final usage.

    `generated_tokens` counts all candidates of all rounds. A candidate that was cancelled never says its
    count: the pieces of text that had arrived from it are counted instead, one token each.
    `clusters`: different answers in the last round. `agreement`: the share of its voters that voted for
    what won, 1 where nobody had to agree. `confidence`: the geometric mean of the winning votes' token
    probabilities, as told by their workers. `lost_workers` did not vote in time. `early_stop`: the rule to
    stop early by.
    """

    strategy: str
    quorum: int
    decided: bool
    round: int
    ballots: tuple[Ballot, ...]
    generated_tokens: int
    call_checks: CallChecks = ALL_FITTED
    clusters: int = 0
    agreement: float = 0.0
    confidence: float = 0.0
    lost_workers: tuple[str, ...] = ()
    early_stop: str = ""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Nothing to say yet. `waiting_for` is a few words for people."""

    waiting_for: str


DecideEvent = Spoken | Ballots | Heartbeat

"""What goes into the engine and what comes out of it."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from services.common.errors import SwarmError
from services.inference_worker.backends.base import Sampled, Sampler, SamplerSpec
from services.inference_worker.engine.guide import Guide
from services.inference_worker.engine.scheduler import Key, Priority
from services.inference_worker.engine.sequences import Sequence as KvSequence
from services.inference_worker.engine.sequences import tokens_of
from services.inference_worker.engine.stops import TextAssembler
from services.inference_worker.kv.eviction import Owner


class Finish(StrEnum):
    STOP = "stop"
    """The model ended its turn, or a stop string came up."""
    LENGTH = "length"
    """max_tokens, or the end of the context."""


@dataclass(frozen=True, slots=True)
class Prefilled:
    """`done` of the prompt's `total` tokens are in the cache; `cached` of them were not computed for it."""

    done: int
    total: int
    cached: int = 0


@dataclass(frozen=True, slots=True)
class Generated:
    """One more token of a candidate. `text` may be empty; with `finish` it is the candidate's last.

    `completion_tokens` and `logprob_sum` (natural logarithms) cover the candidate so far. `sampled` is the
    token itself, None where a candidate ends between two tokens.
    """

    candidate: int
    text: str
    completion_tokens: int
    logprob_sum: float
    finish: Finish | None = None
    sampled: Sampled | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing follows. `cached_tokens` of the prompt were not computed again. `error`: why it broke off."""

    cached_tokens: int
    error: SwarmError | None = None


Output = Prefilled | Generated | Ended
# Called on the engine's thread with everything one step has for the request. Must not block.
# False: the reader does not keep up, and the request is to end.
Sink = Callable[[Sequence[Output]], bool]


def unguided(index: int) -> Guide | None:
    return None


@dataclass(frozen=True, slots=True)
class Submission:
    """One prompt and a sampler spec for each candidate. `max_tokens` None: up to the end of the context.

    `deadline`: when the request is given up, in the engine's clock. `guide` makes the constraint of the
    candidate of that index. `stable`: leading tokens of the prompt that the conversation's next turn will
    most likely repeat, 0: unknown; only asked of models whose state can be reused only whole.
    `drawn`: for each candidate, what it has drawn elsewhere and goes on with, told like tokens drawn here;
    empty: nothing. It counts for `max_tokens`.
    """

    prompt: Sequence[int]
    specs: Sequence[SamplerSpec]
    sink: Sink
    max_tokens: int | None = None
    stops: tuple[str, ...] = ()
    priority: Priority = Priority.MAIN
    owner: Owner = field(default_factory=Owner)
    deadline: float | None = None
    guide: Callable[[int], Guide | None] = unguided
    stable: int = 0
    drawn: Sequence[Sequence[Sampled]] = ()


@dataclass(slots=True, eq=False)
class Candidate:
    """One answer on its way. Without a sequence it waits: for the first time, or again after a shortage.

    `tokens` are prompt and answer; as long as there is no answer, the job's own prompt. `since`: when it
    came into the queue for the last time; `waited`: seconds in the queue before that. `drawn`: tokens from
    elsewhere that it takes, in place of a first one of its own, as soon as the prompt is computed.
    """

    job: Job
    key: Key
    sampler: Sampler
    text: TextAssembler
    guide: Guide | None
    tokens: array[int]
    since: float
    completion_tokens: int = 0
    logprob_sum: float = 0.0
    sequence: KvSequence | None = None
    finished: bool = False
    waited: float = 0.0
    drawn: Sequence[Sampled] = ()

    @property
    def index(self) -> int:
        return self.key[1]

    @property
    def answered(self) -> bool:
        """It has drawn a token of its own that must be fed to go on."""
        return len(self.tokens) > len(self.job.prompt)

    @property
    def held(self) -> KvSequence:
        """The sequence of a candidate that runs."""
        assert self.sequence is not None
        return self.sequence

    @property
    def pending(self) -> int:
        """Tokens that must be in the cache before the next one is drawn, and are not yet."""
        return len(self.tokens) - self.held.length

    def append(self, token: int) -> None:
        if not self.answered:
            self.tokens = self.job.prompt[:]
        self.tokens.append(token)

    def upcoming(self, count: int) -> array[int]:
        """The next `count` tokens to feed."""
        start = self.held.length
        return self.tokens[start : start + count]


@dataclass(slots=True, eq=False)
class Job:
    """One request inside the engine: `width` candidates, each of which may generate `limit` tokens.

    `rank` is its priority, raised by waiting; its candidates share it, so that those who depend on the first
    of them give way before it. `started`, `passed_over` and `ended` are written by the engine's thread and
    read by others.
    """

    order: int
    prompt: array[int]
    width: int
    limit: int
    sink: Sink
    arrived: float
    priority: Priority = Priority.MAIN
    owner: Owner = field(default_factory=Owner)
    deadline: float | None = None
    stable: int = 0
    candidates: list[Candidate] = field(default_factory=list)
    cached_tokens: int = 0
    placed: bool = False
    outbox: list[Output] = field(default_factory=list)
    due: float = 0.0
    """When what is in the outbox is to be handed over, in the engine's clock; 0: at once."""
    speaks: bool = False
    """It has said its first token."""
    started: bool = False
    passed_over: bool = False
    """There was no room for it when the engine looked for the last time."""
    ended: bool = False
    rank: int = field(init=False)

    def __post_init__(self) -> None:
        self.rank = self.priority

    @property
    def lead(self) -> Candidate:
        """The candidate that computes the prompt for all that have not begun: the first that is not over."""
        return next((each for each in self.candidates if not each.finished), self.candidates[0])

    @property
    def unfinished(self) -> int:
        """Candidates that hold or want a sequence."""
        return self.width - sum(candidate.finished for candidate in self.candidates)


def job_of(submission: Submission, order: int, limit: int, now: float) -> Job:
    """A job for `submission` that may generate `limit` tokens per candidate."""
    return Job(
        order,
        tokens_of(submission.prompt),
        len(submission.specs),
        limit,
        submission.sink,
        now,
        submission.priority,
        submission.owner,
        submission.deadline,
        submission.stable,
    )

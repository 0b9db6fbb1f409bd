"""What goes into the engine and what comes out of it."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from services.common.errors import SwarmError
from services.inference_worker.backends.base import Sampler, SamplerSpec
from services.inference_worker.engine.scheduler import Key
from services.inference_worker.engine.sequences import Sequence as KvSequence
from services.inference_worker.engine.sequences import tokens_of
from services.inference_worker.engine.stops import TextAssembler


class Finish(StrEnum):
    STOP = "stop"
    """The model ended its turn, or a stop string came up."""
    LENGTH = "length"
    """max_tokens, or the end of the context."""


@dataclass(frozen=True, slots=True)
class Prefilled:
    """`done` of the prompt's `total` tokens are in the cache; `cached` of them were there before."""

    done: int
    total: int
    cached: int = 0


@dataclass(frozen=True, slots=True)
class Generated:
    """One more token of a candidate. `text` may be empty; with `finish` it is the candidate's last.

    `completion_tokens` and `logprob_sum` (natural logarithms) cover the candidate so far.
    """

    candidate: int
    text: str
    completion_tokens: int
    logprob_sum: float
    finish: Finish | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing follows. `cached_tokens` of the prompt were not computed again. `error`: why it broke off."""

    cached_tokens: int
    error: SwarmError | None = None


Output = Prefilled | Generated | Ended
# Called on the engine's thread with everything one step has for the request. Must not block.
# False: the reader does not keep up, and the request is to end.
Sink = Callable[[Sequence[Output]], bool]


@dataclass(frozen=True, slots=True)
class Submission:
    """One prompt and a sampler spec for each candidate. `max_tokens` None: up to the end of the context."""

    prompt: Sequence[int]
    specs: Sequence[SamplerSpec]
    sink: Sink
    max_tokens: int | None = None
    stops: tuple[str, ...] = ()


@dataclass(slots=True, eq=False)
class Candidate:
    """One answer on its way. Without a sequence it waits: for the first time, or again after a shortage."""

    job: Job
    key: Key
    sampler: Sampler
    text: TextAssembler
    out: array[int] = field(default_factory=tokens_of)
    completion_tokens: int = 0
    logprob_sum: float = 0.0
    sequence: KvSequence | None = None
    finished: bool = False

    @property
    def index(self) -> int:
        return self.key[1]

    @property
    def known(self) -> int:
        """Tokens of prompt and answer; all of them must be in the cache before the next one is drawn."""
        return len(self.job.prompt) + len(self.out)

    @property
    def held(self) -> KvSequence:
        """The sequence of a candidate that runs."""
        assert self.sequence is not None
        return self.sequence

    @property
    def pending(self) -> int:
        return self.known - self.held.length

    def upcoming(self, count: int) -> array[int]:
        """The next `count` tokens to feed."""
        prompt, start = self.job.prompt, self.held.length
        behind = start - len(prompt)
        if behind >= 0:
            return self.out[behind : behind + count]
        if behind + count <= 0:
            return prompt[start : start + count]
        return prompt[start:] + self.out[: behind + count]


@dataclass(slots=True, eq=False)
class Job:
    """One request inside the engine: `width` candidates, each of which may generate `limit` tokens.

    `started`, `passed_over` and `ended` are written by the engine's thread and read by others.
    """

    order: int
    prompt: array[int]
    width: int
    limit: int
    sink: Sink
    arrived: float
    candidates: list[Candidate] = field(default_factory=list)
    cached_tokens: int | None = None
    outbox: list[Output] = field(default_factory=list)
    started: bool = False
    passed_over: bool = False
    """There was no room for it when the engine looked for the last time."""
    ended: bool = False

    @property
    def unfinished(self) -> int:
        """Candidates that hold or want a sequence."""
        return self.width - sum(candidate.finished for candidate in self.candidates)


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """`cells_used` without idle prefixes, which give way at once; the last three only grow."""

    sequences_total: int
    sequences_busy: int
    cells_total: int
    cells_used: int
    prompt_tokens: int
    cached_tokens: int
    generated_tokens: int

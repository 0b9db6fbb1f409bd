"""What the engine asks of a model runtime: tokens in, tokens out, and KV sequences that it can copy and cut.

This is the seam for runtimes whose decode steps we drive ourselves (llama.cpp, MLX). A runtime that
speaks chat itself (an OpenAI endpoint) has no batches and no KV cells to offer: it stands one floor up,
in the place of `worker.Worker`.

All calls but `tokenize`, `piece`, `is_end` and `interrupt` belong to the engine's thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

# A slice of a batch refers to its rows by their index in the whole batch.
Row = int


class BackendFailure(RuntimeError):
    """The runtime is in no usable state any more; its process must end."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """`bos` and `eos` are the texts that a chat template expects; empty if the model has none."""

    size: int
    bos: str
    eos: str


@dataclass(frozen=True, slots=True)
class Capacity:
    """`sequences` that can run together over `cells` KV cells; `batch` tokens fit one decode call.

    `partial_prefix`: a sequence can be cut or copied at any length. False for recurrent models, which
    can only be copied whole and never be rolled back.
    """

    sequences: int
    cells: int
    batch: int
    partial_prefix: bool = True


@dataclass(frozen=True, slots=True)
class SamplerSpec:
    """One candidate's sampling; temperature 0 is greedy. top_k 0, top_p 1, min_p 0, penalties 0: off.

    `seed` is from 0 to 2**32 - 2.
    """

    temperature: float
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Slice:
    """Tokens that one sequence takes in this step, at `position` (its length so far) and onwards.

    The last `outputs` of them yield logits.
    """

    sequence: int
    position: int
    tokens: Sequence[int]
    outputs: int


class Outcome(Enum):
    """How a decode call ended. Only DONE has added the batch's tokens to their sequences."""

    DONE = auto()
    NO_ROOM = auto()
    """No cells for the batch; nothing has changed."""
    INTERRUPTED = auto()
    """`interrupt` was called: every sequence of the batch must be cut back by the caller."""
    REJECTED = auto()
    """The batch was inconsistent; nothing has changed."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """`logprob` is the natural logarithm of the token's probability before any sampling filter."""

    token: int
    logprob: float


class Sampler(Protocol):
    """One candidate's random state and penalty window."""

    def sample(self, row: Row) -> Sampled:
        """Draws a token from the logits of `row` of the last decode, and takes it into account."""
        ...

    def close(self) -> None: ...


class Backend(Protocol):
    @property
    def vocabulary(self) -> Vocabulary: ...

    @property
    def capacity(self) -> Capacity: ...

    def tokenize(self, text: str) -> list[int]:
        """A rendered prompt's tokens: markup becomes special tokens; the BOS leads if the model wants one."""
        ...

    def piece(self, token: int) -> bytes:
        """The bytes a token stands for; not necessarily whole UTF-8 characters."""
        ...

    def is_end(self, token: int) -> bool:
        """Whether the token ends the model's turn."""
        ...

    def decode(self, slices: Sequence[Slice]) -> Outcome:
        """One step over all slices. Raises BackendFailure when the runtime is lost."""
        ...

    def sampler(self, spec: SamplerSpec) -> Sampler: ...

    def copy(self, source: int, target: int, length: int) -> None:
        """`target` (empty) gets the first `length` tokens of `source`; cells are shared where possible."""
        ...

    def cut(self, sequence: int, length: int) -> bool:
        """Forgets all but the first `length` tokens. False: impossible; the sequence must be dropped."""
        ...

    def drop(self, sequence: int) -> None:
        """Forgets the whole sequence."""
        ...

    def interrupt(self, wanted: bool) -> None:
        """Asks a running decode to end early (or takes the wish back). From any thread, at once."""
        ...

    def close(self) -> None: ...

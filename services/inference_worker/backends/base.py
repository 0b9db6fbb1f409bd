"""What the engine asks of a model runtime: tokens in, tokens out, and KV sequences that it can copy and cut.

This is the seam for runtimes whose decode steps we drive ourselves (llama.cpp, MLX). A runtime that
speaks chat itself (an OpenAI endpoint) has no batches and no KV cells to offer: it stands one floor up,
in the place of `worker.Worker`.

All calls but `tokenize`, `piece`, `is_end` and `interrupt` belong to the engine's thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import Protocol

import numpy as np
import numpy.typing as npt

# A slice of a batch refers to its rows by their index in the whole batch.
Row = int


class BackendFailure(RuntimeError):
    """The runtime is in no usable state any more; its process must end."""


class Undrawable(RuntimeError):
    """No token can be drawn from a row: its logits are no numbers, or the mask allows none of them.

    The request is lost, the runtime is not.
    """


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """`bos` and `eos` are the texts that a chat template expects; empty if the model has none.

    `control`: tokens that frame turns and parts of them, and are no text.
    """

    size: int
    bos: str
    eos: str
    control: frozenset[int] = frozenset()


class Reuse(StrEnum):
    """How computed state can be used again."""

    RANGES = "ranges"
    """Plain attention: a sequence can be cut or copied at any length, and any range of its tokens can be
    saved apart and loaded behind the range before it."""
    WHOLE = "whole"
    """Sliding windows and recurrent states: saved, loaded and copied only whole, good only for prompts that
    go on exactly where it ends; `cut` may refuse."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """`sequences` that can run together over `cells` KV cells; `batch` tokens fit one decode call, and
    `outputs` of them may yield logits (0: one per sequence).

    `rollback`: how many tokens `cut` can always take back if the last decode added them; None: any number,
    whenever they were decoded.
    `chunk`: prompts are computed quickest in decodes of their own, of so many tokens; 0: together with
    streams and as many as there are.
    """

    sequences: int
    cells: int
    batch: int
    reuse: Reuse = Reuse.RANGES
    outputs: int = 0
    rollback: int | None = None
    chunk: int = 0

    @property
    def partial_prefix(self) -> bool:
        return self.reuse is Reuse.RANGES


@dataclass(frozen=True, slots=True)
class SamplerSpec:
    """One candidate's sampling; temperature 0 is greedy. top_k 0, top_p 1, min_p 0, typical_p 1,
    penalties 0, repeat_penalty 1, dry_multiplier 0, xtc_probability 0 and mirostat 0: off.

    `seed` is from 0 to 2**32 - 2. `repeat_last_n` and `dry_penalty_last_n`: tokens looked back on, -1: all.
    `logit_bias`: (token, added to its logit). `top_logprobs`: alternatives told with each token, None: not
    even the token's own.
    """

    temperature: float
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    seed: int = 0
    typical_p: float = 1.0
    repeat_penalty: float = 1.0
    repeat_last_n: int = 64
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = -1
    dry_sequence_breakers: tuple[str, ...] = ()
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    mirostat: int = 0
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    logit_bias: tuple[tuple[int, float], ...] = ()
    top_logprobs: int | None = None


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
    """`logprob` is the natural logarithm of the token's probability before any sampling filter.

    `top`: the likeliest tokens and their logprobs, likeliest first; empty unless the spec asks for them.
    """

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


# Which tokens may come next: bit `t % 32` of word `t // 32` is set where token `t` is allowed.
Mask = npt.NDArray[np.uint32]


class Sampler(Protocol):
    """One candidate's random state and penalty window."""

    def sample(self, row: Row, mask: Mask | None = None) -> Sampled:
        """Draws a token from the logits of `row` of the last decode, and takes it into account.

        With a `mask` only its tokens are drawn, in the proportions that they have among themselves;
        `Sampled.logprob` stays what it is without the mask. Raises Undrawable.
        """
        ...

    def observe(self, tokens: Sequence[int]) -> None:
        """Takes tokens into account that were not drawn here: the prompt's, for penalties that look back."""
        ...

    def replay(self, drawn: Sequence[Sampled]) -> None:
        """Takes tokens into account that another sampler of the same spec has drawn: from now on this one
        draws as that one would.

        But for mirostat, which learns its limit anew: what it was learned from is not told.
        """
        ...

    def close(self) -> None: ...


class Backend(Protocol):
    @property
    def vocabulary(self) -> Vocabulary: ...

    @property
    def capacity(self) -> Capacity: ...

    @property
    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 over all that saved states depend on: file contents, KV types, runtime …

        States of equal fingerprints are interchangeable between processes.
        """
        ...

    def tokenize(self, text: str) -> list[int]:
        """A rendered prompt's tokens: markup becomes special tokens; the BOS leads if the model wants one."""
        ...

    def piece(self, token: int) -> bytes:
        """The bytes a token stands for; not necessarily whole UTF-8 characters."""
        ...

    def is_end(self, token: int) -> bool:
        """Whether the token ends the model's turn."""
        ...

    def calibrate(self) -> None:
        """Measures what it must know of the machine; all sequences are empty. Before the first request."""
        ...

    def decode(self, slices: Sequence[Slice]) -> Outcome:
        """One step over all slices. Raises BackendFailure when the runtime is lost."""
        ...

    def sampler(self, spec: SamplerSpec) -> Sampler: ...

    def copy(self, source: int, target: int, length: int) -> None:
        """`target` (empty) gets the first `length` tokens of `source`; cells are shared where possible."""
        ...

    def can_cut(self, sequence: int, length: int) -> bool:
        """Whether `cut` to the first `length` tokens would leave a state that is right."""
        ...

    def cut(self, sequence: int, length: int) -> bool:
        """Forgets all but the first `length` tokens. False: impossible; the sequence must be dropped."""
        ...

    def save(self, sequence: int, start: int, end: int) -> bytes:
        """The state of the tokens [start, end) of a sequence; with Reuse.WHOLE start is 0 and end its length.

        Raises BackendFailure when the runtime cannot give it.
        """
        ...

    def load(self, sequence: int, start: int, end: int, state: bytes) -> bool:
        """Puts a saved state of the tokens [start, end) behind the `start` tokens that the sequence holds.

        With Reuse.WHOLE the sequence is empty and start is 0. False: no cells, or the state does not fit;
        the sequence holds what it held before.
        """
        ...

    def drop(self, sequence: int) -> None:
        """Forgets the whole sequence."""
        ...

    def use_threads(self, count: int) -> None:
        """So many threads compute from the next decode on. Does not change what they compute."""
        ...

    def interrupt(self, wanted: bool) -> None:
        """Asks a running decode to end early (or takes the wish back). From any thread, at once."""
        ...

    def close(self) -> None: ...

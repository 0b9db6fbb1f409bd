"""Who is let in, who feeds how much in the next step, and who must wait again. Pure policy.

Every candidate has a key (order of its request, its index): smaller is older. The oldest candidate is never
sent away for want of cells, and alone it always fits, so something always ends and nothing can dead-lock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

Key = tuple[int, int]

# Smallest prefill chunk: below it, a step's fixed cost is the larger part.
_SMALLEST_CHUNK = 32
# Steps with fewer prefill tokens say nothing about the speed of prefill.
_LEAST_MEASURED = 16


@dataclass(frozen=True, slots=True)
class Limits:
    """`batch`: tokens of one step. `headroom`: cells that admission leaves to each running candidate.

    `stall`: longest pause in seconds that a prefill may put between two tokens of running streams.
    `credit`: tokens of a prompt that one second of waiting makes up for.
    `patience`: how long in seconds a candidate that does not fit may be overtaken by smaller ones.
    """

    batch: int
    headroom: int = 64
    stall: float = 0.4
    credit: float = 500.0
    patience: float = 10.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """Wants a sequence, and about `cells` more cells than it shares with others.

    `follows`: the candidate whose prompt it will share; it makes no sense to let it in before that one.
    """

    key: Key
    cells: int
    arrived: float
    follows: Key | None = None


@dataclass(frozen=True, slots=True)
class Feeding:
    """Has a sequence and `pending` tokens to feed: one is a stream's next token, more are a prompt's rest."""

    key: Key
    pending: int
    arrived: float


@dataclass(frozen=True, slots=True)
class Share:
    key: Key
    tokens: int


class ChunkSizer:
    """How many prompt tokens fit into a step without making running streams stall."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._rate: float | None = None

    def observe(self, tokens: int, seconds: float) -> None:
        """A step took `seconds` and contained `tokens` of prompts."""
        if tokens < _LEAST_MEASURED or seconds <= 0:
            return
        rate = tokens / seconds
        self._rate = rate if self._rate is None else 0.7 * self._rate + 0.3 * rate

    def size(self, streams: int) -> int:
        """Prompt tokens for a step in which `streams` streams run as well."""
        if streams == 0:
            return self._limits.batch
        if self._rate is None:
            return min(self._limits.batch, 4 * _SMALLEST_CHUNK)
        return max(_SMALLEST_CHUNK, min(self._limits.batch, int(self._rate * self._limits.stall)))


def plan(feeding: Sequence[Feeding], chunks: ChunkSizer, limits: Limits, now: float) -> list[Share]:
    """The next step: one token of every stream, then a chunk of prompts, the shortest rest first.

    Waiting counts against length, so that a long prompt is not passed by for ever.
    """
    streams = [each for each in feeding if each.pending == 1]
    shares = [Share(each.key, 1) for each in streams[: limits.batch]]
    budget = min(limits.batch - len(shares), chunks.size(len(streams)))
    prompts = sorted(
        (each for each in feeding if each.pending > 1),
        key=lambda each: (each.pending - limits.credit * (now - each.arrived), each.key),
    )
    for each in prompts:
        if budget <= 0:
            break
        tokens = min(budget, each.pending)
        shares.append(Share(each.key, tokens))
        budget -= tokens
    return shares


def admit(
    waiting: Iterable[Waiting], sequences: int, cells: int, running: int, limits: Limits, now: float
) -> list[Key]:
    """Who gets a sequence now. `waiting` is in the order of keys.

    `sequences` and `cells` are what is free or can be freed at once, `running` counts candidates that
    still grow. The oldest is let in whatever it needs when nothing else runs.
    """
    admitted: list[Key] = []
    for each in waiting:
        if len(admitted) >= sequences:
            break
        if each.follows is not None and each.follows not in admitted:
            continue
        growing = running + len(admitted)
        alone = growing == 0
        if alone or each.cells + limits.headroom * (growing + 1) <= cells:
            admitted.append(each.key)
            cells -= each.cells
        elif now - each.arrived > limits.patience:
            break
    return admitted


def victim(running: Collection[Key]) -> Key | None:
    """Whose cells are taken away when there are none left: the youngest, never the only one."""
    return max(running) if len(running) > 1 else None

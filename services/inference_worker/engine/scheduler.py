"""Who is let in, who feeds how much in the next step, and who must make way. Pure policy.

Every candidate has a key (order of its request, its index): smaller is older. It also has a rank: how much
its request matters, raised by waiting. The first by rank and age is never sent away for want of room, and
alone it always fits, so something always ends and nothing can dead-lock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

Key = tuple[int, int]

# Smallest prefill chunk: below it, a step's fixed cost is the larger part.
_SMALLEST_CHUNK = 8
# Chunk beside running streams as long as nothing has been measured.
_FIRST_CHUNK = 64
# Steps with fewer prefill tokens say nothing about the speed of prefill.
_LEAST_MEASURED = 4
# How much a new measurement counts against the older ones.
_WEIGHT = 0.3


class Priority(IntEnum):
    """How much a request matters while others wait too."""

    SIDE = 0
    """Titles, summaries: nobody waits for them."""
    SUBAGENT = 1
    MAIN = 2


@dataclass(frozen=True, slots=True)
class Limits:
    """`batch`: tokens of one step. `outputs`: rows of logits of one step. `headroom`: cells that admission
    leaves to each running candidate.

    `stall`: longest pause between two tokens of a running stream, in decode steps of the present load.
    `credit`: tokens of a prompt that one second of waiting makes up for.
    `patience`: how long in seconds a candidate that does not fit may be overtaken by smaller ones.
    `ageing`: seconds of waiting that raise a request's rank by one.
    """

    batch: int
    outputs: int = 0
    headroom: int = 64
    stall: float = 3.0
    credit: float = 500.0
    patience: float = 10.0
    ageing: float = 15.0

    def rank(self, priority: Priority, waited: float) -> int:
        """A request's rank after `waited` seconds in the queue."""
        return min(Priority.MAIN, priority + int(max(0.0, waited) / self.ageing))


@dataclass(frozen=True, slots=True)
class Waiting:
    """Wants a sequence, and about `cells` more cells than it shares with others.

    `follows`: the candidate whose prompt it will share; it makes no sense to let it in before that one.
    """

    key: Key
    cells: int
    arrived: float
    follows: Key | None = None
    rank: int = Priority.MAIN


@dataclass(frozen=True, slots=True)
class Feeding:
    """Has a sequence and `pending` tokens to feed: one is a stream's next token, more are a prompt's rest.

    `most`: tokens after which it must pause, because its state is saved there; 0: no such point.
    """

    key: Key
    pending: int
    arrived: float
    rank: int = Priority.MAIN
    most: int = 0


@dataclass(frozen=True, slots=True)
class Share:
    key: Key
    tokens: int


class ChunkSizer:
    """How many prompt tokens fit into a step without making running streams stall.

    It learns how long a decode step takes with so many streams, and how many prompt tokens a second brings.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._rate: float | None = None
        self._steps: dict[int, float] = {}

    def observe(self, streams: int, prompt_tokens: int, seconds: float) -> None:
        """A step took `seconds`: `streams` streams had a token each, and `prompt_tokens` of prompts."""
        if seconds <= 0:
            return
        if prompt_tokens == 0:
            if streams:
                bucket = _bucket(streams)
                self._steps[bucket] = _moved(self._steps.get(bucket), seconds)
            return
        alone = seconds - (self._decode_seconds(streams) or 0.0) if streams else seconds
        if prompt_tokens >= _LEAST_MEASURED and alone > 0:
            self._rate = _moved(self._rate, prompt_tokens / alone)

    def seconds(self, streams: int, load: int) -> float | None:
        """Time that a step beside `streams` streams may spend on prompts when `load` candidates run.

        None: as long as it likes, nobody waits.
        """
        if streams == 0:
            return None
        full = self._decode_seconds(load)
        now = self._decode_seconds(streams)
        if full is None or now is None:
            return 0.0
        return max(0.0, self._limits.stall * full - now)

    def size(self, streams: int, load: int) -> int:
        """Prompt tokens for a step in which `streams` of `load` running candidates stream."""
        seconds = self.seconds(streams, load)
        if seconds is None:
            return self._limits.batch
        if self._rate is None or seconds == 0.0:
            return min(self._limits.batch, _FIRST_CHUNK)
        return max(_SMALLEST_CHUNK, min(self._limits.batch, int(self._rate * seconds)))

    def _decode_seconds(self, streams: int) -> float | None:
        """Length of a step with so many streams alone: measured, or scaled from the nearest measurement.

        Scaling assumes that rows cost something: half of the step grows with them.
        """
        if not self._steps:
            return None
        wanted = _bucket(streams)
        nearest = min(self._steps, key=lambda bucket: abs(bucket - wanted))
        scale = 0.5 + 0.5 * 2.0 ** (wanted - nearest)
        return self._steps[nearest] * scale


def _bucket(streams: int) -> int:
    """1, 2, 3-4, 5-8, 9-16 … streams behave alike."""
    return (streams - 1).bit_length()


def _moved(mean: float | None, value: float) -> float:
    return value if mean is None else (1 - _WEIGHT) * mean + _WEIGHT * value


def plan(feeding: Sequence[Feeding], chunks: ChunkSizer, limits: Limits, now: float) -> list[Share]:
    """The next step: one token of every stream, then a chunk of prompts, by rank and the shortest rest first.

    Waiting counts against length, so that a long prompt is not passed by for ever.
    """
    streams = [each for each in feeding if each.pending == 1]
    shares = [Share(each.key, 1) for each in streams[: limits.batch]]
    budget = min(limits.batch - len(shares), chunks.size(len(streams), len(feeding)))
    prompts = sorted(
        (each for each in feeding if each.pending > 1),
        key=lambda each: (-each.rank, each.pending - limits.credit * (now - each.arrived), each.key),
    )
    for each in prompts:
        if budget <= 0:
            break
        tokens = min(budget, each.pending, each.most or each.pending)
        shares.append(Share(each.key, tokens))
        budget -= tokens
    return shares


def admit(
    waiting: Iterable[Waiting], sequences: int, cells: int, running: int, limits: Limits, now: float
) -> list[Key]:
    """Who gets a sequence now: by rank, then the oldest.

    `sequences` and `cells` are what is free or can be freed at once, `running` counts candidates that
    still grow. The first is let in whatever it needs when nothing else runs.
    """
    admitted: list[Key] = []
    for each in in_order(waiting):
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


def in_order(waiting: Iterable[Waiting]) -> list[Waiting]:
    """The queue as it is served."""
    return sorted(waiting, key=lambda each: (-each.rank, each.key))


def victim(running: Collection[tuple[int, Key]]) -> Key | None:
    """Whose cells are taken away when there are none left, of (rank, key): the lowest rank, then the
    youngest; never the only one."""
    return _last(running) if len(running) > 1 else None


def displaced(waiting: Waiting, running: Collection[tuple[int, Key]]) -> Key | None:
    """Who makes way so that `waiting` gets in: somebody of a lower rank, or nobody."""
    lower = [each for each in running if each[0] < waiting.rank]
    return _last(lower) if lower else None


def _last(running: Collection[tuple[int, Key]]) -> Key:
    return min(running, key=lambda each: (each[0], -each[1][0], -each[1][1]))[1]

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

# Smallest chunk of prompts beside running streams; fewer tokens would not tell how quick prefill is.
_SMALLEST_CHUNK = 4
# How much a new measurement counts against the older ones, and one that is worse than they were.
_WEIGHT, _WORSE = 0.3, 0.6
# A rate is believed to have grown by so much at most between two steps: a step that is too long is worse.
_GROWTH = 4.0
# Prompts take at least this part of a step's time, however little that is beside what the clock tells.
_LEAST_PART = 0.05
# Steps with prompts after which the streams are measured alone again.
_OLD = 64
# A clock may stand still between two readings.
_TICK = 1e-6


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

    `stall`: longest pause between two tokens of a running stream, in decode steps of `slots` streams
    together, or of those that run if they are more.
    `credit`: tokens of a prompt that one second of waiting makes up for.
    `patience`: how long in seconds a candidate that does not fit may be overtaken by smaller ones.
    `ageing`: seconds of waiting that raise a request's rank by one.
    `pace`: shortest time in seconds between two hand-overs of a request's tokens, unless there are `bundle`
    of them. Faster streams get several at once: every message costs time of all processes on its way.
    """

    batch: int
    outputs: int = 0
    slots: int = 0
    headroom: int = 64
    stall: float = 3.0
    credit: float = 500.0
    patience: float = 10.0
    ageing: float = 15.0
    pace: float = 0.05
    bundle: int = 16

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

    It learns how long a step of so many streams alone takes, and how many prompt tokens a second brings
    beside them. So a step with prompts is at most `stall` such steps long, or as long as the smallest chunk
    takes: that is less, unless a prompt's token costs more than half a step.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._rate: float | None = None
        self._steps: dict[int, float] = {}
        self._allowed = _SMALLEST_CHUNK
        self._guesses = 0
        self._mixed: dict[int, int] = {}
        """Steps with prompts since so many streams were measured alone."""

    def observe(self, streams: int, prompt_tokens: int, seconds: float, guesses: int = 0) -> None:
        """A step took `seconds`: a token of each stream, `prompt_tokens` of prompts, and `guesses`.

        Guesses cost what a prompt's tokens cost; the next step is thought to have as many.
        """
        if streams == 0:
            return
        self._guesses = guesses
        seconds, kind = max(seconds, _TICK), _kind(streams)
        if prompt_tokens == 0:
            if guesses:
                return
            known = self._steps.get(kind, seconds)
            self._steps[kind] = known + _WEIGHT * (seconds - known)
            self._mixed[kind] = 0
            return
        self._mixed[kind] = self._mixed.get(kind, 0) + 1
        if prompt_tokens >= _SMALLEST_CHUNK and kind in self._steps:
            rate = (prompt_tokens + guesses) / max(seconds - self._steps[kind], _LEAST_PART * seconds)
            # Not more than the first step is believed at once: the first rows may be for nothing.
            known = self._rate or prompt_tokens / ((self._limits.stall - 1) * self._steps[kind])
            step = min(rate, _GROWTH * known) - known
            # That a few tokens are quick says nothing of as many as are allowed.
            if step <= 0 or prompt_tokens >= self._allowed:
                known += (_WEIGHT if step > 0 else _WORSE) * step
            self._rate = known

    def seconds(self, streams: int, load: int) -> float | None:
        """Time that a step beside `streams` streams may spend on others when `load` candidates run.

        None: as long as it likes, nobody waits.
        """
        if streams == 0:
            return None
        now = self._steps.get(_kind(streams))
        if now is None:
            return 0.0
        # Larger counts than those that were measured are thought to take no longer.
        full = max(took for count, took in self._steps.items() if _kind(streams) <= count <= load)
        return max(now, full) * self._limits.stall - now

    def size(self, streams: int, load: int, spent: float = 0.0) -> int:
        """Prompt tokens for a step in which `streams` of `load` running candidates stream.

        `spent`: seconds of the step that are gone already. 0: the streams must be measured alone first.
        """
        seconds = self.seconds(streams, load)
        if seconds is None:
            return self._limits.batch
        kind = _kind(streams)
        if kind not in self._steps or self._mixed[kind] >= _OLD:
            return 0
        wanted = 0 if self._rate is None else int(self._rate * (seconds - spent)) - self._guesses
        self._allowed = min(self._limits.batch, max(_SMALLEST_CHUNK, wanted))
        return self._allowed


def _kind(streams: int) -> int:
    """Counts that behave alike: up to seven each is its own, then 8-9, 10-11 … 16-19 …"""
    coarse = max(0, streams.bit_length() - 3)
    return streams >> coarse << coarse


def plan(
    feeding: Sequence[Feeding], chunks: ChunkSizer, limits: Limits, now: float, spent: float = 0.0
) -> list[Share]:
    """The next step: one token of every stream, then a chunk of prompts, by rank and the shortest rest first.

    Waiting counts against length, so that a long prompt is not passed by for ever. `spent`: seconds of the
    step that are gone already.
    """
    streams = [each for each in feeding if each.pending == 1]
    shares = [Share(each.key, 1) for each in streams[: limits.batch]]
    budget = min(
        limits.batch - len(shares), chunks.size(len(streams), max(len(feeding), limits.slots), spent)
    )
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

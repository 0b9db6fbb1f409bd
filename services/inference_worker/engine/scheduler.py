"""Who is let in, who feeds how much in the next step, and who must make way. Pure policy.

Every candidate has a key (order of its request, its index): smaller is older. It also has a rank: how much
its request matters, raised by waiting. The first by rank and age is never sent away for want of room, and
alone it always fits, so something always ends and nothing can dead-lock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from math import inf

from services.inference_worker.backends.base import Capacity

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
# A prompt is finished before the streams' next tokens if that takes no more steps of its own, and seconds
# since their last ones, than this: it would cost them as much later.
_FINISHING_STEPS, _FINISHING_SECONDS = 2, 0.5
# At this depth a prompt's token is thought to cost twice what it costs at the beginning: attention grows, the
# rest does not. Rough, but rates are compared over depths with it only until they are measured anew.
_TWICE = 4096
# Kernels work on rows in groups: chunks of which something is left are multiples of the first, long ones of
# the second.
_GROUP, _TILE = 4, 64
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

    `chunk`: prompts are fed in steps of their own, of so many tokens at most, that come between the streams'
    steps; 0: together with the streams, in the same steps.
    `stall`: longest pause between two tokens of a running stream, in decode steps of `slots` streams
    together, or of those that run if they are more.
    `credit`: tokens of a prompt that one second of waiting makes up for.
    `patience`: how long in seconds a candidate that does not fit may be overtaken by smaller ones.
    `ageing`: seconds of waiting that raise a request's rank by one.
    `pace`: shortest time in seconds between two hand-overs of a request's tokens, unless there are `bundle`
    of them. Faster streams get several at once: every message costs time of all processes on its way.
    `progress`: the same for a prompt's progress.
    """

    batch: int
    outputs: int = 0
    slots: int = 0
    chunk: int = 0
    headroom: int = 64
    stall: float = 3.0
    credit: float = 500.0
    patience: float = 10.0
    ageing: float = 15.0
    pace: float = 0.1
    bundle: int = 16
    progress: float = 0.5

    @classmethod
    def of(cls, capacity: Capacity, stall: float = 3.0) -> Limits:
        """What suits a backend that keeps all that it can keep running."""
        return cls(capacity.batch, slots=capacity.sequences, chunk=capacity.chunk, stall=stall)

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
    `depth`: tokens that are fed already.
    """

    key: Key
    pending: int
    arrived: float
    rank: int = Priority.MAIN
    most: int = 0
    depth: int = 0


def effort(tokens: int, depth: int) -> float:
    """What `tokens` of a prompt cost, in tokens at its beginning; `depth`: those that were fed before."""
    return tokens * (1 + depth / _TWICE)


@dataclass(frozen=True, slots=True)
class Share:
    key: Key
    tokens: int


class ChunkSizer:
    """How many prompt tokens may be fed between two tokens of running streams without making them stall.

    It learns how long a step of so many streams alone takes, and how many prompt tokens a second brings.
    So streams and prompts together take at most `stall` such steps, or as long as the smallest chunk takes:
    that is less, unless a prompt's token costs more than half a step. Prompts' tokens are counted by their
    `effort`.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._rate: float | None = None
        self._steps: dict[int, float] = {}
        self._allowed = _SMALLEST_CHUNK
        self._guesses = 0
        self._covered: dict[int, int] = {}
        """Steps in which so many streams were not alone, since they were last measured."""

    def observe(self, streams: int, prompts: float, seconds: float, guesses: int = 0) -> None:
        """A step took `seconds`: a token of each stream, prompts of that effort, and `guesses`.

        Guesses cost what a prompt's tokens cost; the next step is thought to have as many.
        """
        seconds, kind = max(seconds, _TICK), _kind(streams)
        if not streams:
            if self._limits.chunk:
                self._learn(prompts, prompts / seconds, self._rate)
            return
        self._guesses = guesses
        if not prompts and not guesses:
            known = self._steps.get(kind, seconds)
            self._steps[kind] = known + _WEIGHT * (seconds - known)
            self._covered[kind] = 0
            return
        self._covered[kind] = self._covered.get(kind, 0) + 1
        if prompts and kind in self._steps:
            rate = (prompts + guesses) / max(seconds - self._steps[kind], _LEAST_PART * seconds)
            # Not more than the first step is believed at once: the first rows may be for nothing.
            first = prompts / ((self._limits.stall - 1) * self._steps[kind])
            self._learn(prompts, rate, self._rate or first)

    def _learn(self, prompts: float, rate: float, known: float | None) -> None:
        if prompts < _SMALLEST_CHUNK:
            return
        known = known or rate
        step = min(rate, _GROWTH * known) - known
        # That a few tokens are quick says nothing of as many as are allowed (or half: chunks are rounded).
        if step <= 0 or prompts >= (self._allowed / 2 if self._limits.chunk else self._allowed):
            known += (_WEIGHT if step > 0 else _WORSE) * step
        self._rate = known

    def knows(self, streams: int) -> bool:
        """Whether so many streams were measured alone, and not too long ago."""
        kind = _kind(streams)
        return kind in self._steps and self._covered[kind] < _OLD

    def seconds(self, streams: int, load: int) -> float | None:
        """Time between two tokens of `streams` streams that may go to others when `load` candidates run.

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

    def size(self, streams: int, load: int, spent: float = 0.0, steps: int = 0) -> float:
        """The prompts' effort in the next step, when `streams` of `load` running candidates stream.

        `spent`: seconds gone since the streams' last tokens, with so many `steps` of prompts. 0: the streams
        go first. Infinite: nobody waits.
        """
        seconds = self.seconds(streams, load)
        if seconds is None:
            return inf
        if steps or not self.knows(streams):
            return 0
        wanted = 0 if self._rate is None else int(self._rate * (seconds - spent))
        wanted -= 0 if self._limits.chunk else self._guesses
        self._allowed = min(self._limits.chunk or self._limits.batch, max(_SMALLEST_CHUNK, wanted))
        return self._allowed

    def finishes(self, prompt: Feeding, spent: float, steps: int) -> bool:
        """Whether the prompt will soon be done, and the streams wait for it."""
        left = _FINISHING_STEPS - steps
        return prompt.pending <= min(left * self._limits.chunk, self.soon(spent) / effort(1, prompt.depth))

    def soon(self, spent: float) -> float:
        """The effort that makes streams wait no longer than for prompts that are nearly done."""
        return (self._rate or 0.0) * (_FINISHING_SECONDS - spent)


def _kind(streams: int) -> int:
    """Counts that behave alike: up to seven each is its own, then 8-9, 10-11 … 16-19 …"""
    coarse = max(0, streams.bit_length() - 3)
    return streams >> coarse << coarse


def plan(
    feeding: Sequence[Feeding],
    chunks: ChunkSizer,
    limits: Limits,
    now: float,
    spent: float = 0.0,
    steps: int = 0,
) -> list[Share]:
    """The next step: a token of every stream and a chunk of prompts; with `limits.chunk` they take turns.

    `spent` and `steps`: as in `ChunkSizer.size`.
    """
    streams = [Share(each.key, 1) for each in feeding if each.pending == 1][: limits.batch]
    prompts = _in_turn([each for each in feeding if each.pending > 1], limits, now)
    allowed = chunks.size(len(streams), max(len(feeding), limits.slots), spent, steps)
    if not limits.chunk:
        return streams + _chunks(prompts, min(allowed, limits.batch - len(streams)))
    if not streams:
        return _chunks(prompts, limits.chunk)
    if chunks.knows(len(streams)):
        soon = [
            each for each in prompts if each.rank == prompts[0].rank and chunks.finishes(each, spent, steps)
        ]
        if soon:
            # What the step has room for besides is nearly free.
            others = [each for each in prompts if each not in soon]
            return _chunks(soon + others, limits.chunk, chunks.soon(spent))
    if prompts and allowed:
        return [_chunk(prompts[0], limits.chunk, allowed)]
    return streams


def _in_turn(prompts: list[Feeding], limits: Limits, now: float) -> list[Feeding]:
    """By rank and the shortest rest first; waiting counts against length: none is passed by for ever."""
    return sorted(
        prompts, key=lambda each: (-each.rank, each.pending - limits.credit * (now - each.arrived), each.key)
    )


def _chunks(prompts: Iterable[Feeding], most: float, allowed: float = inf) -> list[Share]:
    """At most so many tokens of the prompts, in order, and of an effort of `allowed`."""
    shares = []
    for each in prompts:
        tokens = int(min(most, each.pending, each.most or inf, allowed / effort(1, each.depth)))
        if tokens <= 0:
            break
        shares.append(Share(each.key, tokens))
        most -= tokens
        allowed -= effort(tokens, each.depth)
    return shares


def _chunk(prompt: Feeding, most: int, allowed: float) -> Share:
    """At most so many tokens, of an effort of `allowed` or the smallest chunk, in whole groups."""
    tokens = min(most, max(_SMALLEST_CHUNK, int(allowed / effort(1, prompt.depth))))
    ends = min(prompt.pending, prompt.most or prompt.pending)
    return Share(prompt.key, ends if ends <= tokens else _even(tokens))


def _even(tokens: int) -> int:
    """As many that no row is left over of a group."""
    for group in (_TILE, _GROUP):
        if tokens >= group:
            return tokens - tokens % group
    return tokens


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

"""Which sequence holds which tokens in the KV cache, who uses it, and how many cells are taken.

A prefix that was computed stays in its idle sequence until its cells are needed; the next request takes
the longest common prefix from any sequence, idle or running. Everything that adds, copies, cuts or drops KV
goes through here, so the books cannot disagree with the cache. What lies in colder tiers is `shelf.py`'s.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field

import numpy as np

from services.inference_worker.backends.base import Backend, Reuse
from services.inference_worker.kv.eviction import Owner


def tokens_of(values: Seq[int] = ()) -> array[int]:
    made = array("i")
    made.extend(values)
    return made


class _Run:
    """Cells that were taken one after another; each holder holds the first `holders[it]` of them."""

    __slots__ = ("holders",)

    def __init__(self) -> None:
        self.holders: dict[int, int] = {}

    @property
    def cells(self) -> int:
        return max(self.holders.values(), default=0)


@dataclass(slots=True, eq=False)
class Sequence:
    id: int
    tokens: array[int] = field(default_factory=tokens_of)
    busy: bool = False
    runs: list[_Run] = field(default_factory=list)
    released: int = 0
    owner: Owner = field(default_factory=Owner)
    """For whom its tokens were computed last."""
    saved: int = 0
    """Leading tokens whose state lies in a colder tier too."""
    restoring: bool = False
    """Its state is on the way from a colder tier; nothing is fed meanwhile."""

    @property
    def length(self) -> int:
        return len(self.tokens)


class Sequences:
    """All sequences of one backend. Belongs to the engine's thread."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._whole = backend.capacity.reuse is Reuse.WHOLE
        self._all = [Sequence(index) for index in range(backend.capacity.sequences)]
        self._clock = 0
        self.before_loss: Callable[[Sequence], None] = lambda sequence: None
        """Is told of an idle prefix that is about to give way."""
        self.cells_total = backend.capacity.cells
        self.cells_used = 0

    @property
    def busy(self) -> int:
        return sum(sequence.busy for sequence in self._all)

    @property
    def free(self) -> int:
        return len(self._all) - self.busy

    @property
    def cells_free(self) -> int:
        return self.cells_total - self.cells_used

    def cells_busy(self) -> int:
        """Cells that running candidates hold; all others can be had by dropping idle prefixes."""
        return self.cells_held(each for each in self._all if each.busy)

    def cells_held(self, sequences: Iterable[Sequence]) -> int:
        """Cells that `sequences` hold together."""
        most: dict[_Run, int] = {}
        for sequence in sequences:
            for run in sequence.runs:
                most[run] = max(most.get(run, 0), run.holders[sequence.id])
        return sum(most.values())

    @property
    def idle_tokens(self) -> bool:
        """Whether there is an idle prefix."""
        return any(each.length and not each.busy for each in self._all)

    def idle(self) -> list[Sequence]:
        """Idle sequences that hold tokens, longest unused first."""
        return sorted(
            (each for each in self._all if not each.busy and each.length), key=lambda each: each.released
        )

    def known(self, tokens: array[int]) -> int:
        """How many leading tokens `place` would find."""
        return self._longest_prefix(tokens)[1]

    def place(self, tokens: array[int], keep_donor: bool = False) -> Sequence:
        """A sequence for `tokens` that already holds as long a prefix of them as is known, never all.

        At least one token is left to feed, because its logits are wanted. Needs a free sequence. The idle
        sequence that had the prefix is continued in place, unless that would destroy more than it keeps or
        `keep_donor` is set.
        """
        donor, shared = self._longest_prefix(tokens)
        if donor is None:
            return self.take_empty()
        # What cannot be cut after copying must be cut where it lies.
        in_place = (not keep_donor and 2 * shared >= donor.length) or (self._whole and shared < donor.length)
        if not donor.busy and (in_place or self.free == 1):
            if shared < donor.length:
                self.before_loss(donor)
            self.cut(donor, shared)
            donor.busy = True
            return donor
        sequence = self.take_empty(spare=donor)
        self.copy(donor, sequence, shared)
        return sequence

    def take_empty(self, spare: Sequence | None = None) -> Sequence:
        """An empty sequence, made by dropping the idle prefix that is longest unused if there is none."""
        idle = [each for each in self._all if not each.busy and each is not spare]
        sequence = min(idle, key=lambda each: (each.length > 0, each.released))
        self._evict(sequence)
        sequence.busy = True
        return sequence

    def release(self, sequence: Sequence, keep: bool) -> None:
        """The sequence's user is done; its tokens stay as an idle prefix if `keep`."""
        sequence.busy = sequence.restoring = False
        self._clock += 1
        sequence.released = self._clock
        if not keep:
            self.drop(sequence)

    def make_room(self, cells: int) -> bool:
        """Drops idle prefixes, longest unused first, until `cells` are free. False: all others run."""
        while self.cells_free < cells:
            if not self.evict_idle():
                return False
        return True

    def evict_idle(self) -> bool:
        """Drops the idle prefix that is longest unused. False: there is none."""
        idle = self.idle()
        if idle:
            self._evict(idle[0])
        return bool(idle)

    def _evict(self, sequence: Sequence) -> None:
        if sequence.length:
            self.before_loss(sequence)
        self.drop(sequence)

    def extend(self, sequence: Sequence, tokens: Seq[int]) -> None:
        """`tokens` were decoded at the end of the sequence."""
        sequence.tokens.extend(tokens)
        self.cells_used += len(tokens)
        last = sequence.runs[-1] if sequence.runs else None
        if last is None or last.holders[sequence.id] < last.cells:
            # The cells behind our part of the run are somebody else's.
            last = _Run()
            last.holders[sequence.id] = 0
            sequence.runs.append(last)
        last.holders[sequence.id] += len(tokens)

    def load(self, sequence: Sequence, tokens: array[int], state: bytes) -> bool:
        """Puts the saved state of `tokens` behind what the sequence holds. Needs room for them.

        False: the state did not fit, nothing has changed.
        """
        start = sequence.length
        if not self._backend.load(sequence.id, start, start + len(tokens), state):
            return False
        self.extend(sequence, tokens)
        return True

    def copy(self, source: Sequence, target: Sequence, length: int) -> None:
        """`target` (empty) shares the first `length` tokens of `source`."""
        self._backend.copy(source.id, target.id, length)
        target.tokens = source.tokens[:length]
        target.saved = min(source.saved, length)
        for run in source.runs:
            held = min(length, run.holders[source.id])
            if held == 0:
                break
            run.holders[target.id] = held
            target.runs.append(run)
            length -= held

    def roll_back(self, sequence: Sequence) -> bool:
        """Forgets what an interrupted decode may have added. False: the sequence is empty now."""
        if self._backend.cut(sequence.id, sequence.length):
            return True
        self.drop(sequence)
        return False

    def drop(self, sequence: Sequence) -> None:
        if sequence.tokens:
            self._hold(sequence, 0)
        # Also when the books say that it is empty: an interrupted decode may have left cells behind.
        self._backend.drop(sequence.id)

    def cut(self, sequence: Sequence, length: int) -> bool:
        """Keeps the first `length` tokens. False: impossible, and the sequence is empty now."""
        if self._backend.cut(sequence.id, length):
            self._hold(sequence, length)
            return True
        self.drop(sequence)
        return False

    def _hold(self, sequence: Sequence, length: int) -> None:
        """Books: the sequence keeps its first `length` tokens."""
        del sequence.tokens[length:]
        sequence.saved = min(sequence.saved, length)
        kept: list[_Run] = []
        for run in sequence.runs:
            held = min(length, run.holders[sequence.id])
            length -= held
            before = run.cells
            if held:
                run.holders[sequence.id] = held
                kept.append(run)
            else:
                del run.holders[sequence.id]
            self.cells_used -= before - run.cells
        sequence.runs = kept

    def _longest_prefix(self, tokens: array[int]) -> tuple[Sequence | None, int]:
        wanted = np.frombuffer(tokens, dtype=np.intc)
        best: tuple[Sequence | None, int] = (None, 0)
        for sequence in self._all:
            limit = min(sequence.length, len(tokens) - 1)
            if limit <= best[1] or sequence.tokens[0] != tokens[0]:
                continue
            different = np.frombuffer(sequence.tokens, dtype=np.intc)[:limit] != wanted[:limit]
            shared = int(different.argmax()) if different.any() else limit
            whole = shared == sequence.length or not self._whole
            # What can only be used whole must be cut where it lies; what runs is not ours to cut.
            if not whole and (sequence.busy or not self._backend.can_cut(sequence.id, shared)):
                continue
            if shared > best[1]:
                best = (sequence, shared)
        return best

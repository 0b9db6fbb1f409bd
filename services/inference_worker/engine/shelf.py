"""Between the KV cells and the store of kept states: what was computed is saved, what is known comes back.

A store keeps states in blocks of tokens. With Reuse.RANGES a sequence is saved block by block as it grows and
comes back block by block; with Reuse.WHOLE it is saved whole at points from which a next turn is likely to go
on: where the prompt stops being the conversation's, every so many tokens, and at the end.

Moving costs the engine's thread time, so beside running requests it is done in slices.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

import structlog

from services.inference_worker.backends.base import Backend, Reuse
from services.inference_worker.engine.sequences import Sequence, Sequences
from services.inference_worker.kv.blocks import BLOCK, Block
from services.inference_worker.kv.eviction import Owner
from services.inference_worker.kv.status import Tier
from services.inference_worker.kv.store import KvStore

# Tokens between two points at which a long prompt's whole state is saved.
CHECKPOINT = 2_048
# Fewer tokens are computed again as quickly as they are found.
LEAST_KEPT = 32

log = structlog.get_logger()


@dataclass(slots=True)
class _Arrival:
    """What is still to come for a sequence: `blocks`, and the length to cut to after the last."""

    blocks: list[Block]
    length: int
    on_tokens: Callable[[int], None] | None


@dataclass(slots=True)
class Moved:
    """Tokens of prompts that were not computed, by where their state was found."""

    live: int = 0
    ram: int = 0
    disk: int = 0

    @property
    def total(self) -> int:
        return self.live + self.ram + self.disk


@dataclass(slots=True)
class Shelf:
    """Belongs to the engine's thread."""

    backend: Backend
    sequences: Sequences
    store: KvStore
    clock: Callable[[], float] = monotonic
    moved: Moved = field(default_factory=Moved)
    _arrivals: dict[int, _Arrival] = field(default_factory=dict)
    _unsaved: list[Sequence] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sequences.before_loss = self._rescue

    @property
    def ranges(self) -> bool:
        return self.backend.capacity.reuse is Reuse.RANGES

    # -- coming back -------------------------------------------------------------------------------

    def place(
        self, tokens: array[int], owner: Owner, keep_donor: bool, on_tokens: Callable[[int], None] | None
    ) -> Sequence:
        """A sequence that holds, or is about to get, the longest prefix of `tokens` known anywhere.

        At least one token is left to feed. `on_tokens` hears how many tokens of a new prompt need not be
        computed: now those that were live, later those that `restore` brings; None: it is no new prompt, and
        nothing is counted. Needs a free sequence.
        """
        live = self.sequences.known(tokens)
        found = self.store.longest(tokens, len(tokens) - 1)
        if found.length < live + (LEAST_KEPT if live else 1):
            sequence = self.sequences.place(tokens, keep_donor)
            missing: list[Block] = []
        elif self.ranges:
            sequence = self.sequences.place(tokens, keep_donor)
            missing = [block for block in found.blocks if block.end > sequence.length]
            if missing[0].start < sequence.length:
                self.sequences.cut(sequence, missing[0].start)
                missing = [block for block in found.blocks if block.end > sequence.length]
        else:
            sequence = self.sequences.take_empty()
            missing = list(found.blocks[-1:])
        sequence.owner = owner
        if on_tokens is not None:
            self.moved.live += sequence.length
            on_tokens(sequence.length)
        if missing:
            self.store.use(found, owner)
            sequence.restoring = True
            self._arrivals[sequence.id] = _Arrival(missing, found.length, on_tokens)
        return sequence

    def restore(self, sequence: Sequence, seconds: float | None, stop: Callable[[], bool]) -> None:
        """Loads blocks for about `seconds` (None: until `stop`), one at least.

        `restoring` says if more follow.
        """
        arrival = self._arrivals.get(sequence.id)
        started = self.clock()
        while arrival is not None and arrival.blocks:
            block = arrival.blocks.pop(0)
            if not self._load(sequence, block, arrival):
                # The rest hangs on it. It is computed instead.
                arrival.blocks.clear()
            if not arrival.blocks:
                break
            spent = self.clock() - started
            if stop() or (seconds is not None and spent >= seconds):
                return
        sequence.restoring = False
        self._arrivals.pop(sequence.id, None)

    def _load(self, sequence: Sequence, block: Block, arrival: _Arrival) -> bool:
        read = self.store.read(block)
        if read is None:
            return False
        state, tier = read
        before = sequence.length
        if not self.sequences.make_room(len(block.tokens)):
            return False
        if not self.sequences.load(sequence, block.tokens, state):
            log.warning("a kept state did not fit", start=block.start, tokens=len(block.tokens))
            return False
        if sequence.length > arrival.length and not self.sequences.cut(sequence, arrival.length):
            return False
        sequence.saved = sequence.length
        if arrival.on_tokens is None:
            return True
        gained = sequence.length - before
        if tier is Tier.RAM:
            self.moved.ram += gained
        else:
            self.moved.disk += gained
        arrival.on_tokens(gained)
        return True

    # -- going away --------------------------------------------------------------------------------

    def release(self, sequence: Sequence, keep: bool) -> None:
        """The sequence's user is done. What is kept is saved when there is time."""
        self._arrivals.pop(sequence.id, None)
        self._unsaved = [each for each in self._unsaved if each is not sequence]
        self.sequences.release(sequence, keep)
        if keep:
            self.enqueue(sequence)

    def suspend(self, sequence: Sequence) -> None:
        """Takes a running sequence out of the cells; its state is saved first, so that it can go on later."""
        self._unsaved = [each for each in self._unsaved if each is not sequence]
        if not sequence.restoring:
            self._save_all(sequence)
        self.release(sequence, keep=False)

    def enqueue(self, sequence: Sequence) -> None:
        """`save` is to get to it. With Reuse.WHOLE only what does not run any more can be saved so."""
        if sequence.length < LEAST_KEPT or sequence in self._unsaved:
            return
        if self.ranges or not sequence.busy:
            self._unsaved.append(sequence)

    def snapshot(self, sequence: Sequence) -> None:
        """With Reuse.WHOLE: saves the state of a running sequence as it stands."""
        if not self.ranges and sequence.length >= LEAST_KEPT:
            self._save_next(sequence, sequence.length)
            self.store.commit()

    def save(self, seconds: float | None, stop: Callable[[], bool]) -> float:
        """Saves for about `seconds` (None: until all is saved, or `stop`). Returns the seconds spent."""
        started = self.clock()
        while self._unsaved:
            sequence = self._unsaved[0]
            if not self._save_next(sequence, self._goal(sequence)):
                self._unsaved.pop(0)
                self.store.commit()
            if stop() or (seconds is not None and self.clock() - started >= seconds):
                break
        return self.clock() - started

    @property
    def saving(self) -> bool:
        """Something is still to be saved."""
        return bool(self._unsaved)

    def _rescue(self, sequence: Sequence) -> None:
        """Saves an idle prefix that must go before its turn came."""
        if sequence in self._unsaved:
            self._save_all(sequence)
            self._unsaved.remove(sequence)

    def _save_all(self, sequence: Sequence) -> None:
        while self._save_next(sequence, sequence.length):
            pass
        self.store.commit()

    def relieve(self) -> None:
        """Drops idle prefixes that are saved: attention passes over their cells too, for every row."""
        for sequence in self.sequences.idle():
            if sequence.saved >= sequence.length:
                self.sequences.drop(sequence)

    def next_point(self, length: int, stable: int, total: int) -> int:
        """With Reuse.WHOLE: where a prefill that stands at `length` must pause to be saved; 0: nowhere."""
        if self.ranges:
            return 0
        points = [point for point in (stable, total) if point > length]
        points.append((length // CHECKPOINT + 1) * CHECKPOINT)
        return min(points)

    def _goal(self, sequence: Sequence) -> int:
        """Up to where it can be saved: while it grows, only full blocks, or with Reuse.WHOLE not at all.

        (An idle prefix may be taken into use again before it is saved.)
        """
        if not sequence.busy:
            return sequence.length
        return sequence.length // BLOCK * BLOCK if self.ranges else 0

    def _save_next(self, sequence: Sequence, goal: int) -> bool:
        """Saves the next piece up to `goal`. False: there is none, or nowhere to put it."""
        if sequence.saved >= goal:
            return False
        held = self.store.held(sequence.tokens)
        if self.ranges:
            start = min(held, goal)
            end = min(goal, (start // BLOCK + 1) * BLOCK)
        else:
            start, end = (goal, goal) if held >= goal else (0, goal)
        if start < end:
            state = self.backend.save(sequence.id, start, end)
            if not self.store.put(sequence.tokens, start, end, state, sequence.owner, whole=not self.ranges):
                return False
        sequence.saved = end
        return end < goal

"""Prompt lookup: what stood behind the last words before, in the prompt or in the answer, is the guess.

An agent's answers repeat what was read: files, names, earlier calls. Finding that costs microseconds, so
it is done at every token.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from services.inference_worker.engine.scheduler import Key

# Lengths of the runs of tokens that are looked up, longest first: a long run is rarely followed by
# something else, a short one finds more.
LENGTHS = (8, 5, 3)

_BASE = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1

_Tokens = npt.NDArray[np.int32]


def _powers(count: int) -> tuple[int, ...]:
    found = [1]
    while len(found) < count:
        found.append(found[-1] * _BASE & _MASK)
    return tuple(found)


class _Hashes:
    """Of the last n tokens before a position, for each n of `lengths`; the longest first."""

    def __init__(self, lengths: Sequence[int]) -> None:
        if not lengths or min(lengths) < 1:
            raise ValueError("lengths of at least one token are needed")
        self.lengths = tuple(sorted(set(lengths), reverse=True))
        self._powers = _powers(self.lengths[0])

    def before(self, tokens: Sequence[int], end: int) -> Iterator[int | None]:
        """None where there are fewer than n tokens before `end`."""
        found: dict[int, int] = {}
        total = 0
        for count in range(1, min(self.lengths[0], end) + 1):
            total += tokens[end - count] * self._powers[count - 1]
            found[count] = total & _MASK
        return (found.get(length) for length in self.lengths)

    def everywhere(self, tokens: _Tokens, length: int) -> npt.NDArray[np.uint64]:
        """Entry i is that of the tokens [i, i + length)."""
        wide = tokens.astype(np.uint64)
        windows = len(wide) - length + 1
        total = np.zeros(windows, np.uint64)
        for back in range(length):
            start = length - 1 - back
            total += wide[start : start + windows] * np.uint64(self._powers[back])
        return total


class _Table:
    """Where the runs of a prompt end; made at once, never changed, shared by all candidates of the prompt.

    12 bytes per token and length.
    """

    def __init__(self, tokens: array[int], hashes: _Hashes) -> None:
        self.tokens = tokens[:]
        self._sorted: list[tuple[array[int], array[int]]] = []
        seen = np.frombuffer(self.tokens, np.int32)
        for length in hashes.lengths:
            keys, ends = array("Q"), array("i")
            if len(seen) >= length:
                found = hashes.everywhere(seen, length)
                # Stable: of equal runs the last one stays last.
                order = np.argsort(found, kind="stable")
                keys.frombytes(found[order].tobytes())
                ends.frombytes((order + length).astype(np.int32).tobytes())
            self._sorted.append((keys, ends))

    def common_prefix(self, tokens: array[int]) -> int:
        """How many leading tokens are those that the table was made of."""
        length = min(len(tokens), len(self.tokens))
        ours, theirs = np.frombuffer(self.tokens, np.int32), np.frombuffer(tokens, np.int32)
        differ = np.flatnonzero(ours[:length] != theirs[:length])
        return int(differ[0]) if differ.size else length

    def ends(self, level: int, key: int, limit: int) -> int | None:
        """The last place up to `limit` where the run ends; `level` is the index of its length."""
        keys, ends = self._sorted[level]
        at = bisect_right(keys, key) - 1
        while at >= 0 and keys[at] == key:
            if ends[at] <= limit:
                return ends[at]
            at -= 1
        return None


@dataclass(slots=True)
class _History:
    """One candidate's known tokens: the first `shared` are in the table, the rest is noted one by one."""

    table: _Table
    shared: int
    noted: int
    """Runs that end up to here have been noted."""
    recent: tuple[dict[int, int], ...] = field(default_factory=tuple)


class LookupDrafter:
    """A `Drafter` that computes nothing: guesses are copied from the candidate's own tokens."""

    name = "lookup"

    def __init__(self, lengths: Sequence[int] = LENGTHS) -> None:
        """`lengths`: of the runs that must have come before to be gone on with. Raises ValueError."""
        self._hashes = _Hashes(lengths)
        self._histories: dict[Key, _History] = {}
        # By the order of the request: siblings have the same prompt.
        self._tables: dict[int, _Table] = {}
        self._users: dict[int, int] = {}

    def propose(self, wanted: Mapping[Key, tuple[array[int], int]]) -> dict[Key, Sequence[int]]:
        found: dict[Key, Sequence[int]] = {}
        for key, (tokens, most) in wanted.items():
            if guesses := self._guess(self._history(key, tokens), tokens, most):
                found[key] = guesses
        return found

    def forget(self, key: Key) -> None:
        if self._histories.pop(key, None) is None:
            return
        self._users[key[0]] -= 1
        if not self._users[key[0]]:
            del self._users[key[0]], self._tables[key[0]]

    def close(self) -> None:
        self._histories.clear()
        self._tables.clear()
        self._users.clear()

    def _history(self, key: Key, tokens: array[int]) -> _History:
        """Up to date, but without the runs that end with the last token: those are what is looked up."""
        history = self._histories.get(key)
        if history is None:
            table = self._tables.get(key[0])
            if table is None:
                table = self._tables[key[0]] = _Table(tokens, self._hashes)
            shared = table.common_prefix(tokens)
            recent: tuple[dict[int, int], ...] = tuple({} for _ in self._hashes.lengths)
            history = self._histories[key] = _History(table, shared, shared, recent)
            self._users[key[0]] = self._users.get(key[0], 0) + 1
        for end in range(history.noted + 1, len(tokens)):
            for runs, run in zip(history.recent, self._hashes.before(tokens, end), strict=True):
                if run is not None:
                    runs[run] = end
        history.noted = max(history.noted, len(tokens) - 1)
        return history

    def _guess(self, history: _History, tokens: array[int], most: int) -> Sequence[int]:
        last = len(tokens)
        limit = min(history.shared, last - 1)
        runs = self._hashes.before(tokens, last)
        for level, (length, run) in enumerate(zip(self._hashes.lengths, runs, strict=True)):
            if run is None:
                continue
            end = history.recent[level].get(run)
            if end is None:
                end = history.table.ends(level, run, limit)
            # Two different runs may have one hash.
            if end is not None and tokens[end - length : end] == tokens[last - length :]:
                return _continuation(tokens, end, most)
        return ()


def _continuation(tokens: array[int], start: int, most: int) -> array[int]:
    """What follows `start`; where the tokens end, it goes round: a repeated line is repeated again."""
    found = tokens[start : start + most]
    period = len(tokens) - start
    while len(found) < most:
        found += found[len(found) - period : len(found) - period + most - len(found)]
    return found

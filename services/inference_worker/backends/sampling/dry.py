"""DRY: a token that goes on with a sequence which stood there before is punished, the more the longer it is.

For every place of the history `_runs` holds how many tokens up to it are the same as the last ones. One more
token makes each run one longer or ends it, so the whole history takes a few vector operations per token.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from services.inference_worker.backends.sampling.breakers import LONGEST_TAIL, Breakers
from services.inference_worker.backends.sampling.rows import Logits

# From so many tokens on the runs are computed anew at once.
_MANY = 64
# llama.cpp keeps the penalty below the largest float of 32 bits by this limit of its logarithm.
_MOST_LOG = 88.7228391
# A logit less this much is still a number, also when it is divided by a small temperature.
_MOST = 1e30

Ints = npt.NDArray[np.int32]


class Dry:
    def __init__(
        self, multiplier: float, base: float, allowed_length: int, window: int, breakers: Breakers
    ) -> None:
        """The penalty is multiplier * base ** (length - allowed_length). `window` in tokens, -1: all."""
        self._multiplier = multiplier
        self._base = base
        self._allowed = allowed_length
        self._window = window
        self._breakers = breakers
        self._most = int(_MOST_LOG / math.log(base)) if base > 1.000001 else None
        self._length = 0
        self._tokens: Ints = np.empty(512, np.int32)
        self._runs: Ints = np.empty(512, np.int32)
        # The newest breaker, and up to where it was looked for.
        self._head = -1
        self._tail = 0
        self._searched = 0

    def observe(self, tokens: Sequence[int]) -> None:
        if len(tokens) < _MANY:
            for token in tokens:
                self._add(token)
            return
        start, end = self._length, self._length + len(tokens)
        self._grow(end)
        self._tokens[start:end] = tokens
        self._length = end
        begin = self._begin()
        self._runs[:end] = 0
        if end - begin > 1:
            self._runs[begin:end] = _runs(self._tokens[begin:end].tolist())

    def apply(self, logits: Logits) -> None:
        """In place."""
        begin, end = self._begin(), self._length
        limit = self._limit(begin)
        if end - begin <= self._allowed or limit < self._allowed:
            return
        runs = self._runs[begin : end - 1]
        if begin:
            # What stands before the window does not count.
            runs = np.minimum(runs, np.arange(1, runs.size + 1, dtype=np.int32))
        ends = np.flatnonzero(runs >= self._allowed)
        if not ends.size:
            return
        # Each token that stands behind a run, with the longest of these runs.
        tokens, owners = np.unique(self._tokens[begin + 1 + ends], return_inverse=True)
        lengths = np.zeros(tokens.size, np.int32)
        np.maximum.at(lengths, owners, np.minimum(runs[ends], limit))
        goes_on = np.array([() not in self._breakers.tails(token) for token in tokens.tolist()])
        exponents = (lengths - self._allowed).astype(np.float64)
        if self._most is not None:
            exponents = np.minimum(exponents, self._most)
        penalties = np.minimum(self._multiplier * self._base**exponents, _MOST)
        logits[tokens[goes_on]] -= penalties[goes_on].astype(np.float32)

    def _begin(self) -> int:
        """Where the window begins."""
        return 0 if self._window < 0 else max(0, self._length - self._window)

    def _add(self, token: int) -> None:
        end = self._length
        self._grow(end + 1)
        self._tokens[end] = token
        if end:
            longer = self._runs[: end - 1] + 1
            longer *= self._tokens[1:end] == token
            self._runs[1:end] = longer
            self._runs[0] = self._tokens[0] == token
        self._runs[end] = 0
        self._length = end + 1

    def _grow(self, length: int) -> None:
        if length > self._tokens.size:
            self._tokens = np.resize(self._tokens, 2 * length)
            self._runs = np.resize(self._runs, 2 * length)

    def _limit(self, begin: int) -> int:
        """How long a repetition can be: it does not reach over the newest breaker."""
        last = self._length - 1
        # A breaker of several tokens may have been completed only now.
        low = max(begin, self._head, self._searched - LONGEST_TAIL)
        for place in range(last, low - 1, -1):
            tail = self._longest_tail(place, last)
            if tail is not None:
                self._head, self._tail = place, tail
                break
        self._searched = self._length
        return last - self._head - self._tail if self._head >= begin else self._length - begin

    def _longest_tail(self, place: int, last: int) -> int | None:
        tails = self._breakers.tails(int(self._tokens[place]))
        lengths = [
            len(tail)
            for tail in tails
            if len(tail) <= last - place and (self._tokens[place + 1 : place + 1 + len(tail)] == tail).all()
        ]
        return max(lengths, default=None)


def _runs(tokens: list[int]) -> Ints:
    """For each place how many tokens up to it equal the last ones of all (the last place itself: 0).

    The Z function of the reversed history, in linear time.
    """
    tokens = tokens[::-1]
    size = len(tokens)
    same = [0] * size
    left = right = 0
    for place in range(1, size):
        length = min(right - place, same[place - left]) if place < right else 0
        while place + length < size and tokens[length] == tokens[place + length]:
            length += 1
        same[place] = length
        if place + length > right:
            left, right = place, place + length
    return np.array(same[::-1], np.int32)

"""Repeat, frequency and presence penalties: the tokens of the last `window`, each with its count."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

import numpy as np

from services.inference_worker.backends.sampling.rows import Logits

# From so many tokens on the counts are taken anew at once.
_MANY = 64


class Penalties:
    def __init__(self, repeat: float, frequency: float, presence: float, window: int) -> None:
        """`repeat` 1, `frequency` 0 and `presence` 0: off. `window` in tokens, -1: all."""
        self._repeat = np.float32(repeat)
        self._frequency = np.float32(frequency)
        self._presence = np.float32(presence)
        self._window = window
        self._recent: deque[int] = deque()
        # The tokens in the window stand in the first places of two arrays, in any order.
        self._place: dict[int, int] = {}
        self._tokens = np.empty(256, np.int64)
        self._counts = np.empty(256, np.float32)

    def observe(self, tokens: Sequence[int]) -> None:
        if len(tokens) < _MANY:
            for token in tokens:
                self._add(token)
            return
        self._recent.extend(tokens)
        while 0 <= self._window < len(self._recent):
            self._recent.popleft()
        counted = Counter(self._recent)
        self._place = {token: place for place, token in enumerate(counted)}
        self._tokens = np.fromiter(counted.keys(), np.int64, len(counted))
        self._counts = np.fromiter(counted.values(), np.float32, len(counted))

    def apply(self, logits: Logits) -> None:
        """In place, as llama.cpp does it: logits below 0 are multiplied by `repeat`, the others divided."""
        used = len(self._place)
        if not used:
            return
        tokens, counts = self._tokens[:used], self._counts[:used]
        values = logits[tokens]
        if self._repeat != 1:
            values = np.where(values <= 0, values * self._repeat, values / self._repeat)
        logits[tokens] = values - (counts * self._frequency + self._presence)

    def _add(self, token: int) -> None:
        if self._window == 0:
            return
        place = self._place.get(token)
        if place is None:
            place = self._place[token] = len(self._place)
            if place == self._tokens.size:
                self._tokens = np.resize(self._tokens, 2 * place + 1)
                self._counts = np.resize(self._counts, 2 * place + 1)
            self._tokens[place] = token
            self._counts[place] = 0
        self._counts[place] += 1
        self._recent.append(token)
        if 0 <= self._window < len(self._recent):
            self._remove(self._recent.popleft())

    def _remove(self, token: int) -> None:
        place = self._place[token]
        self._counts[place] -= 1
        if self._counts[place]:
            return
        del self._place[token]
        last = len(self._place)
        if place != last:
            # The last one moves into the gap.
            moved = int(self._tokens[last])
            self._tokens[place] = moved
            self._counts[place] = self._counts[last]
            self._place[moved] = place

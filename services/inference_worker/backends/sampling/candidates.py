"""The tokens that may still be drawn, and the filters that thin them out."""

from __future__ import annotations

import math

import numpy as np

from services.inference_worker.backends.sampling.ordering import Indices, highest, reaching
from services.inference_worker.backends.sampling.rows import Logits, log_sum_exp

# A filter that needs an order looks at so many first; they nearly always hold all that it keeps.
_FIRST = 1024


class Candidates:
    """Logits of some tokens, or of the whole vocabulary. Filters return others and change nothing.

    A token whose logit is minus infinity is never drawn. Probabilities are those among the candidates.
    """

    def __init__(
        self,
        logits: Logits,
        scratch: Logits,
        ids: Indices | None = None,
        likeliest: int | None = None,
        log_total: float | None = None,
    ) -> None:
        """`ids` None: a logit's index is its token. `scratch`: room for as many, overwritten by every call.

        `likeliest` (an index) and `log_total` (log of the sum of exp) are computed unless they are known.
        """
        self.logits = logits
        self._scratch = scratch
        self._ids = ids
        self._likeliest = likeliest
        self._log_total = log_total

    @property
    def likeliest(self) -> int:
        """An index."""
        if self._likeliest is None:
            self._likeliest = int(self.logits.argmax())
        return self._likeliest

    @property
    def log_total(self) -> float:
        if self._log_total is None:
            self._log_total = log_sum_exp(self.logits, self.logits[self.likeliest], self._scratch)
        return self._log_total

    def token(self, index: int) -> int:
        return index if self._ids is None else int(self._ids[index])

    def top_k(self, count: int) -> Candidates:
        """The `count` likeliest."""
        size = self.logits.size
        if count >= size:
            return self
        if count <= _FIRST:
            return self._only(highest(self.logits, count))
        return self._only(self._down_to(np.partition(self.logits, size - count)[size - count], count))

    def typical(self, share: float) -> Candidates:
        """The tokens with the most expected surprise, as few as have a probability above `share`."""
        known = self._only(np.flatnonzero(self.logits > -np.inf)) if self.logits.min() == -np.inf else self
        logprobs = known.logits - np.float32(known.log_total)
        weights = np.exp(logprobs, out=known._scratch[: logprobs.size])
        entropy = -float((weights * logprobs).sum())
        # Highest where the surprise, -logprob, is as expected.
        closeness = -np.abs(logprobs + np.float32(entropy))
        for count in (_FIRST, closeness.size):
            nearest = highest(closeness, count)
            last = reaching(weights[nearest], share, total=1.0)
            if last is not None:
                return known._only(nearest[: last + 1])
        return known

    def top_p(self, share: float) -> Candidates:
        """The fewest likeliest tokens whose probability is at least `share`."""
        first = highest(self.logits, _FIRST)
        weights = np.exp(self.logits[first] - np.float32(self.log_total))
        last = reaching(weights, share, total=1.0)
        if last is not None:
            return self._only(first[: last + 1])
        if first.size < _FIRST or first.size == self.logits.size:
            return self._only(first)
        return self._only(self._many(share))

    def min_p(self, ratio: float) -> Candidates:
        """The tokens at least `ratio` (above 0) times as likely as the likeliest."""
        bound = self.logits[self.likeliest] + np.float32(math.log(ratio))
        return self._only(np.flatnonzero(self.logits >= bound))

    def without_top(self, threshold: float) -> Candidates:
        """XTC: of the tokens with a probability of at least `threshold` only the unlikeliest stays."""
        bound = self.log_total + math.log(threshold) if threshold > 0 else -np.inf
        hot = np.flatnonzero((self.logits >= np.float32(bound)) & (self.logits > -np.inf))
        if hot.size < 2:
            return self
        logits = self.logits.copy()
        kept = hot[highest(logits[hot], hot.size)[-1]]
        logit = logits[kept]
        logits[hot] = -np.inf
        logits[kept] = logit
        return Candidates(logits, self._scratch, self._ids)

    def at_least(self, bound: float) -> Candidates:
        """Those with a logit of at least `bound`, or the likeliest alone if there is none."""
        found = np.flatnonzero(self.logits >= np.float32(bound))
        return self._only(found if found.size else np.array([self.likeliest]))

    def probability(self, index: int) -> float:
        return math.exp(float(self.logits[index]) - self.log_total)

    def draw(self, share: float, temperature: float = 1.0) -> int:
        """An index, by the probabilities at `temperature`; `share` is the random number in (0, 1]."""
        weights = self._scratch[: self.logits.size]
        np.subtract(self.logits, self.logits[self.likeliest], out=weights)
        if temperature != 1.0:
            np.divide(weights, np.float32(temperature), out=weights)
        np.exp(weights, out=weights)
        index = reaching(weights, share)
        assert index is not None, "a share of their own sum is reached"
        return index

    def _many(self, share: float) -> Indices:
        """As `top_p`, for more than the first few: what the least likely of them is, then which they are."""
        down = np.sort(self.logits)[::-1]
        weights = self._scratch[: down.size]
        np.subtract(down, np.float32(self.log_total), out=weights)
        np.exp(weights, out=weights)
        last = reaching(weights, share, total=1.0)
        if last is None:
            return np.flatnonzero(self.logits > -np.inf)
        return self._down_to(down[last], last + 1)

    def _down_to(self, bound: np.float32, count: int) -> Indices:
        """The `count` likeliest in no order, `bound` being the logit of the last one."""
        found = np.flatnonzero(self.logits >= bound)
        surplus = found.size - count
        if surplus:
            equal = np.flatnonzero(self.logits[found] == bound)
            found = np.delete(found, equal[equal.size - surplus :])
        return found

    def _only(self, indices: Indices) -> Candidates:
        ids = indices if self._ids is None else self._ids[indices]
        return Candidates(self.logits[indices], self._scratch, ids)

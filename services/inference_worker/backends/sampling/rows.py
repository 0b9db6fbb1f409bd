"""The logits of the last decode, what is known of them, and the memory that sampling works in."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from services.inference_worker.backends.base import Row, Undrawable

Logits = npt.NDArray[np.float32]


class Rows:
    """Belongs to the thread that decodes. Several candidates may draw from one row: it is never written to.

    `adjusted` and `weights` are room for one row each, good until the next sampler works: fresh memory of
    that size costs more than what is done with it.
    """

    def __init__(self, size: int, read: Callable[[Row], Logits]) -> None:
        """`read` gives a row of `size` logits that stays valid until the next decode."""
        self.size = size
        self.adjusted: Logits = np.empty(size, np.float32)
        self.weights: Logits = np.empty(size, np.float32)
        self._read = read
        self._logits: dict[Row, Logits] = {}
        self._likeliest: dict[Row, int] = {}
        self._log_sums: dict[Row, float] = {}

    def clear(self) -> None:
        """The rows are about to be overwritten by a decode."""
        self._logits.clear()
        self._likeliest.clear()
        self._log_sums.clear()

    def logits(self, row: Row) -> Logits:
        """Raises what `read` raises for a row that the last decode gave no logits for."""
        found = self._logits.get(row)
        if found is None:
            found = self._logits[row] = self._read(row)
        return found

    def likeliest(self, row: Row) -> int:
        found = self._likeliest.get(row)
        if found is None:
            found = self._likeliest[row] = int(self.logits(row).argmax())
        return found

    def log_sum_exp(self, row: Row) -> float:
        """log(sum(exp(logits))), computed once. Raises Undrawable when the logits are no numbers."""
        found = self._log_sums.get(row)
        if found is None:
            logits = self.logits(row)
            found = log_sum_exp(logits, logits[self.likeliest(row)], self.weights)
            if not math.isfinite(found):
                raise Undrawable(f"the logits of row {row} are no finite numbers")
            self._log_sums[row] = found
        return found


def log_sum_exp(logits: Logits, highest: np.float32, scratch: Logits) -> float:
    """log(sum(exp(logits))); `scratch` has room for as many and is overwritten."""
    weights = scratch[: logits.size]
    # What overflows or is no number is told by the result, which the caller looks at.
    with np.errstate(invalid="ignore", over="ignore"):
        np.subtract(logits, highest, out=weights)
        np.exp(weights, out=weights)
        return float(highest) + math.log(float(weights.sum()))

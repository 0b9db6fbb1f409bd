"""The highest of many numbers, and where a running sum reaches a number, without sorting or walking all."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

# Numbers are compared in so many rows at once to bound the highest ones from below.
_ROWS = 64
# Below it everything is sorted.
_FEW = 1024
_BLOCK = 512
# A sum of 0 reaches nothing.
_LEAST = 5e-324


def highest(values: Floats, count: int) -> Indices:
    """Where the `count` highest are, in descending order; of equal ones the first comes first.

    Minus infinity is never among them, so there may be fewer.
    """
    bound = _bound(values, count) if values.size > _FEW and count < values.size else -np.inf
    found = np.flatnonzero(values >= bound if bound > -np.inf else values > -np.inf)
    return found[_descending(values[found])[:count]]


def reaching(weights: Floats, share: float, total: float | None = None) -> int | None:
    """The first index at which the running sum of `weights` (none negative) reaches `share` of `total`.

    `total` None: of their own sum. None: it is never reached. The index never is that of a weight of 0.
    """
    if weights.size <= 4 * _BLOCK:
        sums = np.cumsum(weights, dtype=np.float64)
        at = int(sums.searchsorted(max(_LEAST, share * (float(sums[-1]) if total is None else total))))
        return at if at < weights.size else None
    # First the block, then the place in it: a running sum over all of them would take three times as long.
    sums = np.cumsum(np.add.reduceat(weights, np.arange(0, weights.size, _BLOCK)), dtype=np.float64)
    target = max(_LEAST, share * (float(sums[-1]) if total is None else total))
    block = int(sums.searchsorted(target))
    if block == sums.size:
        return None
    start = block * _BLOCK
    inside = np.cumsum(weights[start : start + _BLOCK], dtype=np.float64)
    before = float(sums[block - 1]) if block else 0.0
    # The block's sum was rounded otherwise than the running sum in it, which may stay just below.
    return start + int(inside.searchsorted(min(target - before, float(inside[-1]))))


def _bound(values: Floats, count: int) -> np.float32:
    """A number that at least `count` of the values reach, and rarely many more."""
    columns = values.size // _ROWS
    if columns >= 2 * count:
        # Each column holds a number as high as its maximum.
        values = values[: _ROWS * columns].reshape(_ROWS, columns).max(axis=0)
    bound: np.float32 = np.partition(values, values.size - count)[values.size - count]
    return bound


def _descending(values: Floats) -> Indices:
    """The order that sorts them down, equal ones as they stand.

    Number and place in one integer, because numpy sorts integers many times faster than it finds an order.
    """
    # Adding 0 makes minus zero zero, which it equals.
    bits = (values + np.float32(0)).view(np.uint32)
    # Bits of a number below 0 grow as it falls; the others are turned around.
    keys = np.where(bits >> 31, bits, ~bits & np.uint32(0x7FFF_FFFF)).astype(np.uint64)
    keys <<= np.uint64(32)
    keys |= np.arange(values.size, dtype=np.uint64)
    keys.sort()
    return (keys & np.uint64(0xFFFF_FFFF)).view(np.int64)

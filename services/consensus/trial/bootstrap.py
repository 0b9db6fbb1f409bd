"""Intervals for the difference of two ways to answer, by resampling items. Pure.

Paired: both ways answered the same items, so an item's difficulty is in neither's favour (Efron and
Tibshirani, An Introduction to the Bootstrap, 1993, chapter 8). An item's seeds stay together: they are not
independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 4000
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over items and the bounds between which it lies with probability LEVEL."""

    mean: float
    low: float
    high: float


def interval(values: Sequence[float], seed: int, resamples: int = RESAMPLES) -> Interval:
    """Of the mean of `values`, one for each item: a share right, or a difference of two such shares.

    Raises ValueError if there are none.
    """
    if not len(values):
        raise ValueError("values: at least one item is wanted")
    data = np.asarray(values, dtype=float)
    random = np.random.default_rng(seed)
    means = np.empty(resamples)
    for number in range(resamples):
        means[number] = data[random.integers(0, len(data), len(data))].mean()
    edge = (1 - LEVEL) / 2
    low, high = np.quantile(means, (edge, 1 - edge))
    return Interval(float(data.mean()), float(low), float(high))

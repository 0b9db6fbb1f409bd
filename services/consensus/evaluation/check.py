"""Measured against predicted, cell by cell. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

from services.consensus.evaluation.population import Population, item
from services.consensus.evaluation.prediction import Chances, predict
from services.consensus.evaluation.rules import Subject
from services.consensus.evaluation.trial import decide

SIGMAS = 3.0
# Between the seed of a cell's first items and that of its second ones: more than there are cells.
SECOND = 1_000_000
# With fewer expected than this a count is too skewed for the bell curve.
_NORMAL = 50


@dataclass(frozen=True, slots=True)
class Counts:
    """What came of `items` items; `heard` votes came before they were decided, `rounds` were held."""

    items: int
    right: int
    wrong: int
    heard: int
    rounds: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One strategy in one population. `again` is the second measurement, held where the first was off."""

    strategy: str
    population: Population
    predicted: Chances
    measured: Counts
    again: Counts | None = None

    @property
    def deviation(self) -> float:
        """Of the last measurement: see `deviation`."""
        return deviation(self.again or self.measured, self.predicted)

    @property
    def holds(self) -> bool:
        return self.deviation <= SIGMAS


def deviation(counts: Counts, predicted: Chances) -> float:
    """How far right and wrong answers are from the prediction, the larger of the two, in standard deviations.

    Items are independent, so a count over them is binomial, whatever the voters of one item have in common.
    """
    return max(
        _sigmas(counts.right, counts.items, predicted.right),
        _sigmas(counts.wrong, counts.items, predicted.wrong),
    )


def measure(population: Population, subject: Subject, items: int, seed: int) -> Counts:
    """`items` fresh items of `population`; equal seeds give equal counts."""
    method = subject.method(population)
    right = wrong = heard = rounds = 0
    for number in range(items):
        outcome = decide(item(population, seed, number), method)
        right += outcome.right
        wrong += outcome.wrong
        heard += outcome.heard
        rounds += outcome.rounds
    return Counts(items, right, wrong, heard, rounds)


def check(
    name: str,
    subject: Subject,
    population: Population,
    items: int,
    seed: int,
    tick: Callable[[], None] = lambda: None,
) -> Finding:
    """Measures one cell; `seed` must be its own, or one odd draw shows in several cells.

    Of so many cells a few are beyond three standard deviations by chance alone. Such a cell is measured once
    more with fresh items, and the second measurement counts: a defect is there again, chance is not (once in
    100,000 cells).
    """
    predicted = predict(population, subject.rule(population))
    measured = measure(population, subject, items, seed)
    tick()
    finding = Finding(name, population, predicted, measured)
    if finding.holds:
        return finding
    fresh = measure(population, subject, items, seed + SECOND)
    return Finding(name, population, predicted, measured, fresh)


def _sigmas(count: int, items: int, chance: float) -> float:
    # Closed forms of what is certain are off by rounding only.
    chance = min(1.0, max(0.0, chance))
    expected = items * chance
    rare = min(expected, items - expected)
    if rare < 1e-6:
        return 0.0 if abs(count - expected) < 0.5 else math.inf
    if rare >= _NORMAL:
        return abs(count - expected) / math.sqrt(expected * (1 - chance))
    # The bell curve does not fit what hardly ever happens: the exact tail, told in the same measure.
    if expected > rare:
        count, chance = items - count, 1 - chance
    tail = _tail(count, items, chance)
    return max(0.0, -NormalDist().inv_cdf(tail)) if tail > 0 else math.inf


def _tail(count: int, items: int, chance: float) -> float:
    """The chance of a count as far from the expected one as this, or farther, on the same side."""
    side = range(count, items + 1) if count > items * chance else range(count, -1, -1)
    total = 0.0
    for each in side:
        term = _binomial(each, items, chance)
        total += term
        if term < 1e-12 * total:
            break
    return total


def _binomial(count: int, items: int, chance: float) -> float:
    ways = math.lgamma(items + 1) - math.lgamma(count + 1) - math.lgamma(items - count + 1)
    return math.exp(ways + count * math.log(chance) + (items - count) * math.log1p(-chance))

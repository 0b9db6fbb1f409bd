"""Measured against predicted, cell by cell. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import NormalDist

from services.consensus.evaluation.bulk import Method, Outcome, decide
from services.consensus.evaluation.population import Population, item
from services.consensus.evaluation.prediction import Chances, predict
from services.consensus.evaluation.rules import Subject

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


def measure(
    population: Population, methods: Mapping[str, Method], items: int, seed: int
) -> dict[str, Counts]:
    """`items` fresh items of `population`, the same for all methods; equal seeds give equal counts."""
    ends: dict[str, list[Outcome]] = {name: [] for name in methods}
    for number in range(items):
        drawn = item(population, seed, number)
        for name, method in methods.items():
            ends[name].append(decide(drawn, method))
    return {
        name: Counts(
            items,
            sum(end.right for end in found),
            sum(end.wrong for end in found),
            sum(end.heard for end in found),
            sum(end.rounds for end in found),
        )
        for name, found in ends.items()
    }


def check(population: Population, subjects: Mapping[str, Subject], items: int, seed: int) -> list[Finding]:
    """Measures each subject in one population; `seed` must be its own, or one odd draw shows in several.

    Of so many cells a few are beyond three standard deviations by chance alone. Such a one is measured once
    more with fresh items, and the second measurement counts: a defect is there again, chance is not (once in
    100,000 cells).
    """
    methods = {name: subject.method(population) for name, subject in subjects.items()}
    findings = [
        Finding(name, population, predict(population, subjects[name].rule(population)), counts)
        for name, counts in measure(population, methods, items, seed).items()
    ]
    odd = {each.strategy: methods[each.strategy] for each in findings if not each.holds}
    fresh = measure(population, odd, items, seed + SECOND) if odd else {}
    return [replace(each, again=fresh.get(each.strategy)) for each in findings]


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

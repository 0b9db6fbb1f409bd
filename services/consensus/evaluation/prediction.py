"""How often a rule must be right, in closed form. Pure, and knows no line of the code that votes.

Given an item's theta the honest voters fall independently into four classes: lost, right, wrong with the
shared mistake, wrong with one of their own. The numbers of voters in them (a `Tally`) are multinomial, and
what a rule makes of a tally is told by its definition. Over the items theta is Beta, and

    E[theta^r (1 - theta)^w] = a(a+1)...(a+r-1) b(b+1)...(b+w-1) / ((a+b)(a+b+1)...(a+b+r+w-1)),

the moments from which the beta-binomial distribution is made (Skellam 1948; Johnson, Kemp and Kotz,
"Univariate Discrete Distributions", 6.2.2). The rounds of an election share the item's theta, so what two
rounds say together is a moment of a higher order, not a product. Without correlation all of it is binomial:
Condorcet's jury theorem.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from services.consensus.evaluation.population import Population


@dataclass(frozen=True, slots=True)
class Tally:
    """Voters by what they answered; `liars` made the shared mistake too, and are not among `shared`."""

    lost: int
    right: int
    shared: int
    own: int
    liars: int = 0

    @property
    def voters(self) -> int:
        return self.lost + self.right + self.shared + self.own + self.liars


@dataclass(frozen=True, slots=True)
class Chances:
    """Of a right answer and of a wrong one; the rest is no answer."""

    right: float
    wrong: float


Rule = Callable[[Tally], Chances]

# Weights by (right honest voters, wrong honest voters): a polynomial in theta and 1 - theta.
_Polynomial = dict[tuple[int, int], float]


@dataclass(frozen=True, slots=True)
class _Round:
    right: _Polynomial
    wrong: _Polynomial
    split: _Polynomial


def predict(population: Population, rule: Rule) -> Chances:
    """The chances of one item to be answered right and wrong after at most two rounds.

    A split round is followed by another one, unless everybody was lost in it: then there is nobody to ask.
    """
    first = _round(population, population.loss, rule)
    second = _round(population, 0.0, rule)
    return Chances(
        _mean(population, first.right) + _mean(population, _product(first.split, second.right)),
        _mean(population, first.wrong) + _mean(population, _product(first.split, second.wrong)),
    )


def moment(population: Population, right: int, wrong: int) -> float:
    """E[theta^right (1 - theta)^wrong]."""
    if population.correlation == 0:
        return population.accuracy**right * (1 - population.accuracy) ** wrong
    a, b = population.beta
    return _rising(a, right) * _rising(b, wrong) / _rising(a + b, right + wrong)


def beta_binomial(population: Population, right: int) -> float:
    """The chance that exactly `right` of the honest voters are right, losses and liars aside."""
    return math.comb(population.honest, right) * moment(population, right, population.honest - right)


def _round(population: Population, loss: float, rule: Rule) -> _Round:
    found = _Round(defaultdict(float), defaultdict(float), defaultdict(float))
    for tally, chance in _tallies(population, loss):
        chances = rule(tally)
        exponents = (tally.right, tally.shared + tally.own)
        found.right[exponents] += chance * chances.right
        found.wrong[exponents] += chance * chances.wrong
        if tally.lost < tally.voters:
            found.split[exponents] += chance * (1 - chances.right - chances.wrong)
    return found


def _tallies(population: Population, loss: float) -> Iterator[tuple[Tally, float]]:
    """Each tally, and its chance without the powers of theta and 1 - theta."""
    honest, share = population.honest, population.shares_mistake
    for lost in range(honest + 1):
        for right in range(honest - lost + 1):
            for shared in range(honest - lost - right + 1):
                own = honest - lost - right - shared
                ways = math.factorial(honest) // math.prod(
                    math.factorial(count) for count in (lost, right, shared, own)
                )
                chance = loss**lost * (1 - loss) ** (honest - lost) * share**shared * (1 - share) ** own
                yield Tally(lost, right, shared, own, population.liars), ways * chance


def _mean(population: Population, polynomial: Mapping[tuple[int, int], float]) -> float:
    return sum(weight * moment(population, *exponents) for exponents, weight in polynomial.items())


def _product(one: _Polynomial, other: _Polynomial) -> _Polynomial:
    found: _Polynomial = defaultdict(float)
    for (right, wrong), weight in one.items():
        for (more_right, more_wrong), factor in other.items():
            found[right + more_right, wrong + more_wrong] += weight * factor
    return found


def _rising(start: float, count: int) -> float:
    return math.prod(start + step for step in range(count))

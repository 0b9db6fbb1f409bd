"""Simulated voters: how often they are right, together or each by itself, and how their errors look. Pure.

The model of an item: its difficulty is drawn once, as the chance theta that an honest voter is right, from a
Beta distribution with mean `accuracy` and intraclass correlation `correlation`; given theta the voters are
independent. The number of right voters is then beta-binomial (Skellam 1948), binomial without correlation.
Each item has one mistake that suggests itself: a wrong voter makes it with the chance sqrt(collision), so two
wrong voters agree with the chance `collision`; every other mistake is a voter's own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

RIGHT = "right"
SHARED = "the mistake that suggests itself"
# As in an election: one round, and one more if it was split.
ROUNDS = 2

_SHORT, _LONG = 10, 100


@dataclass(frozen=True, slots=True)
class Population:
    """Voters in `voters` slots; the last `liars` of them always make the shared mistake and claim certainty.

    `loss`: the chance that an honest voter is lost in the first round. In the second round nobody is: whoever
    failed is not asked again. `length_bias`: the share of mistakes that are shorter than any right answer
    and so arrive before it.
    """

    accuracy: float
    correlation: float = 0.0
    collision: float = 1.0
    voters: int = 5
    liars: int = 0
    loss: float = 0.0
    length_bias: float = 0.0

    def __post_init__(self) -> None:
        """Raises ValueError naming the field."""
        for name in ("accuracy", "collision", "length_bias"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise ValueError(f"{name}: expected 0 to 1, got {value}")
        for name in ("correlation", "loss"):
            if not 0 <= (value := getattr(self, name)) < 1:
                raise ValueError(f"{name}: expected 0 to less than 1, got {value}")
        if self.correlation > 0 and self.accuracy in (0, 1):
            raise ValueError(f"correlation: expected 0 with accuracy {self.accuracy}, got {self.correlation}")
        if self.voters < 1:
            raise ValueError(f"voters: expected 1 or more, got {self.voters}")
        if not 0 <= self.liars <= self.voters:
            raise ValueError(f"liars: expected 0 to {self.voters}, got {self.liars}")

    @property
    def honest(self) -> int:
        return self.voters - self.liars

    @property
    def shares_mistake(self) -> float:
        """The chance that a wrong honest voter makes the shared mistake."""
        return math.sqrt(self.collision)

    @property
    def beta(self) -> tuple[float, float]:
        """The parameters of theta's Beta distribution; only with correlation."""
        size = (1 - self.correlation) / self.correlation
        return self.accuracy * size, (1 - self.accuracy) * size


@dataclass(frozen=True, slots=True)
class Reply:
    """What one voter answers: `value` is RIGHT, SHARED or a mistake of its own.

    The fewer `tokens`, the earlier it arrives.
    """

    value: str
    lost: bool
    tokens: int
    mean_logprob: float


@dataclass(frozen=True, slots=True)
class Item:
    """`rounds[r][slot]`: what would be answered in each round, should it be held."""

    rounds: tuple[tuple[Reply, ...], ...]


def draw(population: Population, rng: np.random.Generator) -> Item:
    """One item. It takes equally many random numbers whatever they are, so equal seeds give equal items."""
    theta = population.accuracy if population.correlation == 0 else float(rng.beta(*population.beta))
    numbers = rng.random((ROUNDS, population.voters, 6)).tolist()
    return Item(
        tuple(
            tuple(_reply(population, theta, number, slot, six) for slot, six in enumerate(voters))
            for number, voters in enumerate(numbers)
        )
    )


def item(population: Population, seed: int, number: int) -> Item:
    """Item `number` of the set that `seed` stands for; the same in every process."""
    return draw(population, np.random.default_rng((seed, number)))


def _reply(population: Population, theta: float, number: int, slot: int, six: list[float]) -> Reply:
    lost, right, shares, short, length, sure = six
    lies = slot >= population.honest
    if not lies and right < theta:
        value = RIGHT
    elif lies or shares < population.shares_mistake:
        value = SHARED
    else:
        value = f"the mistake of voter {slot} in round {number}"
    first, last = (1, _SHORT) if value != RIGHT and short < population.length_bias else (_SHORT, _LONG)
    return Reply(
        value,
        lost=number == 0 and not lies and lost < population.loss,
        tokens=first + int(length * (last - first)),
        mean_logprob=0.0 if lies else -0.01 - sure,
    )

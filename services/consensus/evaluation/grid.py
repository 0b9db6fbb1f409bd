"""Which populations are looked at. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

from services.consensus.evaluation.population import Population

ACCURACIES = (0.4, 0.55, 0.7, 0.85)
CORRELATIONS = (0.0, 0.1, 0.3, 0.5)
COLLISIONS = (0.1, 0.6, 1.0)


@dataclass(frozen=True, slots=True)
class Trouble:
    """As the fields of `Population`."""

    loss: float = 0.0
    liars: int = 0
    length_bias: float = 0.0
    voters: int = 5


# What befalls the voters beside their errors.
TROUBLES: Mapping[str, Trouble] = {
    "none": Trouble(),
    "losses": Trouble(loss=0.15),
    "a liar": Trouble(liars=1),
    # Ties are common here, and the liar, who is last, claims to be the surest.
    "a liar in four": Trouble(liars=1, voters=4),
    "length bias": Trouble(length_bias=0.8),
    "all of it": Trouble(0.15, 1, 0.8),
}


def full() -> list[Population]:
    """Every accuracy with every correlation, collision and trouble."""
    return [_cell(*cell) for cell in product(TROUBLES, ACCURACIES, CORRELATIONS, COLLISIONS)]


def quick() -> list[Population]:
    """Two corners and a middle for each trouble."""
    cells = ((0.4, 0.0, 1.0), (0.7, 0.3, 0.6), (0.85, 0.0, 0.1))
    return [_cell(name, *cell) for name, cell in product(TROUBLES, cells)]


def trouble_of(population: Population) -> str:
    """Its name in TROUBLES, or its figures."""
    found = Trouble(population.loss, population.liars, population.length_bias, population.voters)
    return next((name for name, trouble in TROUBLES.items() if trouble == found), str(found))


def _cell(name: str, accuracy: float, correlation: float, collision: float) -> Population:
    trouble = TROUBLES[name]
    return Population(
        accuracy,
        correlation,
        collision,
        voters=trouble.voters,
        liars=trouble.liars,
        loss=trouble.loss,
        length_bias=trouble.length_bias,
    )

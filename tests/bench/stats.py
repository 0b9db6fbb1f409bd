"""Medians, spreads, goals and verdicts. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

# A miss by no more than this share of the goal is told apart from a miss.
NEAR = 0.05


class Verdict(StrEnum):
    MET = "met"
    NEAR = "within 5 %"
    MISSED = "missed"
    NONE = ""


@dataclass(frozen=True, slots=True)
class Goal:
    """What a ratio (or, without a peer, a figure) must be."""

    relation: Literal[">=", "<="]
    bound: float

    def verdict(self, value: float) -> Verdict:
        if value >= self.bound if self.relation == ">=" else value <= self.bound:
            return Verdict.MET
        if self.relation == ">=":
            return Verdict.NEAR if value >= self.bound * (1 - NEAR) else Verdict.MISSED
        return Verdict.NEAR if value <= self.bound * (1 + NEAR) else Verdict.MISSED

    def __str__(self) -> str:
        return f"{self.relation} {self.bound:,g}"


def at_least(bound: float) -> Goal:
    return Goal(">=", bound)


def at_most(bound: float) -> Goal:
    return Goal("<=", bound)


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured, a value a round."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """Least and greatest: there are too few rounds for anything finer."""
        return min(self.values), max(self.values)


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Figures:
    """Ours over theirs, round by round: what slows the machine for a while slows both sides of a round.

    Raises ValueError when the rounds do not pair.
    """
    if len(ours) != len(theirs) or not ours:
        raise ValueError(f"rounds do not pair: {len(ours)} of ours, {len(theirs)} of theirs")
    return Figures(tuple(mine / other for mine, other in zip(ours, theirs, strict=True)))


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: `ours` against `theirs`, both one value a round in `unit`.

    With `theirs` the goal is for the ratio ours / theirs, without for the median of `ours`.
    """

    work: str
    unit: str
    ours: Sequence[float]
    peer: str = ""
    theirs: Sequence[float] = ()
    goal: Goal | None = None
    note: str = ""
    ratio: Figures | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ratio", ratios(self.ours, self.theirs) if self.theirs else None)

    @property
    def judged(self) -> Figures:
        """What the goal is about."""
        return self.ratio or Figures(tuple(self.ours))

    @property
    def verdict(self) -> Verdict:
        return Verdict.NONE if self.goal is None else self.goal.verdict(self.judged.median)

"""What a voter's vote weighs, by how often it was right when somebody could check. Pure.

The weight of independent voters that makes the weighted majority as good as can be is the log-odds of their
accuracy (Nitzan and Paroush 1982, "Optimal decision rules in uncertain dichotomous choice situations";
Shapley and Grofman 1984). The accuracy is not known but counted, so it is smoothed: the mean of a Beta
distribution that began with a prior (Laplace's rule of succession with another prior). Nothing that a worker
says of itself is among the inputs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

# The prior is worth so many outcomes, and such that a voter of whom nothing is known weighs exactly 1, as
# `Vote.weight` does.
PRIOR_STRENGTH = 4.0
PRIOR_ACCURACY = math.e / (1 + math.e)
# The most: however long its record, a few others can outvote one. The least is not zero, so that among voters
# that are all weak a vote is still a vote; nor is it negative, or a liar could vote against by voting for.
MOST = 4.0
LEAST = 0.01


@dataclass(frozen=True, slots=True)
class Voter:
    """One identity: a worker answering with one model. It has one record, whatever it calls itself."""

    worker: str
    model: str


@dataclass(frozen=True, slots=True)
class Record:
    """Verified outcomes: answers that were checked, by running them or against what is known."""

    right: int = 0
    wrong: int = 0

    def __post_init__(self) -> None:
        """Raises ValueError naming the count that is negative."""
        for name in ("right", "wrong"):
            if (count := getattr(self, name)) < 0:
                raise ValueError(f"{name}: expected 0 or more, got {count}")

    def with_outcome(self, right: bool) -> Record:
        return Record(self.right + right, self.wrong + (not right))


def smoothed_accuracy(record: Record) -> float:
    """The posterior mean of the accuracy, strictly between 0 and 1."""
    checked = record.right + record.wrong
    return (record.right + PRIOR_STRENGTH * PRIOR_ACCURACY) / (checked + PRIOR_STRENGTH)


def weight(record: Record) -> float:
    """The log-odds (natural logarithm) of the smoothed accuracy, from LEAST to MOST."""
    accuracy = smoothed_accuracy(record)
    return min(MOST, max(LEAST, math.log(accuracy / (1 - accuracy))))


def weights(records: Mapping[Voter, Record]) -> dict[Voter, float]:
    """Each voter's weight; one that is not listed weighs `weight(Record())`, which is 1."""
    return {voter: weight(record) for voter, record in records.items()}

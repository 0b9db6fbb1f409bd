"""How many of so many voters must agree on a call, by its risk. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from services.consensus.strategies.base import Vote
from services.consensus.strategies.risk import Risk


@dataclass(frozen=True, slots=True)
class Quorums:
    """A `QuorumRule`. Shares of all voters, above 1/2 and at most 1: rounded up, so always more than half.

    A class never needs less than the one below it, whatever its own share.
    """

    reading: Fraction = Fraction(2, 3)
    writing: Fraction = Fraction(4, 5)
    destructive: Fraction = Fraction(4, 5)

    def __post_init__(self) -> None:
        """Raises ValueError for a share with which two calls could win, or none."""
        for share in (self.reading, self.writing, self.destructive):
            if not Fraction(1, 2) < share <= 1:
                raise ValueError(f"a quorum is a share above 1/2 and at most 1, got {share}")

    def __call__(self, voters: int, vote: Vote | None = None) -> int:
        """`vote` None: the least that any call needs."""
        return self.needed(voters, Risk.READING if vote is None else vote.risk)

    def needed(self, voters: int, risk: Risk) -> int:
        shares = (self.reading, self.writing, self.destructive)
        share = max(shares[: risk + 1])
        return -(-voters * share.numerator // share.denominator)

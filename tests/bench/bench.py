"""What a case is, and what it is given."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench import words
from tests.bench.client import Endpoint, user
from tests.bench.ours import Stack
from tests.bench.setting import Setting
from tests.bench.stats import Row
from tests.bench.theirs import LlamaServer

Side = Callable[[int], Awaitable[float]]


@dataclass(frozen=True, slots=True)
class Form:
    """The quick form has small sizes and one round: it shows that all works, its ratios are hints."""

    quick: bool
    rounds: int

    def size(self, full: int, quick: int) -> int:
        return quick if self.quick else full


QUICK = Form(quick=True, rounds=1)
FULL = Form(quick=False, rounds=3)


@dataclass
class Bench:
    """Both servers run while the cases run.

    `tick` tells the progress bar that a measurement is done, `say` prints above it.
    """

    form: Form
    setting: Setting
    peers: Path
    ours: Stack
    theirs: LlamaServer
    tick: Callable[[], None] = lambda: None
    say: Callable[[str], None] = print
    _seeds: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def endpoints(self) -> tuple[Endpoint, Endpoint]:
        return self.ours.endpoint, self.theirs.endpoint

    def seed(self) -> int:
        """Another one each time, the same in every run."""
        return next(self._seeds)

    def prompt(self, tokens: int) -> list[dict[str, str]]:
        """One message that nobody has seen yet, and whose answer copies nothing."""
        return user(words.uncopied(tokens, self.seed()))

    async def interleave(self, rounds: int, sides: Sequence[Side]) -> list[list[float]]:
        """One list for each side; in every round each side is measured once, in this order."""
        figures: list[list[float]] = [[] for _ in sides]
        for number in range(rounds):
            for side, found in zip(sides, figures, strict=True):
                found.append(await side(number))
                self.tick()
        return figures


@dataclass(frozen=True, slots=True)
class Case:
    """`steps` are the ticks that a run takes; `only_long`: not in the quick form."""

    name: str
    run: Callable[[Bench], Awaitable[list[Row]]]
    steps: Callable[[Form], int]
    only_long: bool = False

"""Speculation without an engine: a clock that costs what a curve says, and the loop that verifies guesses."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random

from services.inference_worker.engine.drafting import Drafter
from services.inference_worker.engine.scheduler import Key
from services.inference_worker.engine.speculation import Pacer

Curve = Callable[[int], float]
# How likely a guess is right, by the number of tokens that the stream has said.
Acceptance = Callable[[int], float]


def through(*points: tuple[int, float]) -> Curve:
    """Straight lines through (rows, cost); the last one goes on."""

    def cost(rows: int) -> float:
        for (left, low), (right, high) in pairwise(points):
            if rows <= right or right == points[-1][0]:
                return low + (high - low) * (rows - left) / (right - left)
        raise AssertionError

    return cost


# One stream of a 0.5B model on two cores; a processor whose second row is dear; a GPU.
STEEP = through((1, 1.0), (5, 2.4), (9, 3.4), (17, 6.2))
JUMP = through((1, 1.0), (2, 1.9), (5, 2.4), (9, 3.4), (17, 6.2))
FLAT = through((1, 1.0), (201, 2.0))


@dataclass(frozen=True, slots=True)
class Race:
    """`speed` against the same without speculation; `most` guesses that one stream fed in a step."""

    speed: float
    most: int


def race(
    cost: Curve,
    acceptance: Acceptance,
    tokens: int = 400,
    streams: int = 1,
    free: bool = True,
    draft: float = 0.0,
    pacer: Pacer | None = None,
    seed: int = 1,
) -> Race:
    """`streams` say `tokens` each; a guess costs `draft` steps to draft.

    Steps are measured with 3 % noise.
    """
    random = Random(seed)
    pacer = pacer or Pacer(free=free)
    said = {(random.randrange(1 << 30), index): 0 for index in range(streams)}
    spent = plain = 0.0
    most = 0
    while live := [key for key, count in said.items() if count < tokens]:
        lengths = pacer.wanted(live, 0, 256)
        deepest = max(lengths.values(), default=0)
        fed = pacer.share(lengths, len(live), 0, 256)
        assert sum(fed.values()) <= 256
        rows = len(live) + sum(fed.values())
        spent += cost(rows) + draft * deepest
        pacer.observe(rows, 0.03 * cost(rows) * random.gauss(1, 0.03), 0.03 * draft * deepest, deepest)
        for key in live:
            wanted, right = lengths.get(key, 0), 0
            while right < wanted and random.random() < acceptance(said[key]):
                right += 1
            guesses = [1] * right + [2] * (wanted - right)
            out = [1] * (1 + min(right, fed.get(key, 0)))
            pacer.settle(key, guesses, fed.get(key, 0), out)
            said[key] += len(out)
            most = max(most, fed.get(key, 0))
    done = 0
    for left, count in zip(range(streams, 0, -1), sorted(said.values()), strict=True):
        plain += (count - done) * cost(left)
        done = count
    for key in said:
        pacer.forget(key)
    return Race(plain / spent, most)


# Draws the next token; called once for every token that belongs to the answer, in order.
Draw = Callable[[Sequence[int]], int]


def answer(prompt: Sequence[int], tokens: int, draw: Draw) -> list[int]:
    """Without speculation."""
    known = list(prompt)
    while len(known) < len(prompt) + tokens:
        known.append(draw(known))
    return known[len(prompt) :]


def speculative_answer(
    prompt: Sequence[int], tokens: int, draw: Draw, drafter: Drafter, pacer: Pacer, cost: Curve = FLAT
) -> tuple[list[int], int]:
    """The answer, and the steps that it took: rows are drawn one by one while the guesses are right."""
    key: Key = (1, 0)
    known = array("i", prompt)
    steps = 0
    while (left := len(prompt) + tokens - len(known)) > 0:
        wanted = pacer.wanted([key], 0, left - 1).get(key, 0)
        guesses = drafter.propose({key: (known, wanted)}).get(key, ()) if wanted else ()
        fed = pacer.share({key: len(guesses)}, 1, 0, left - 1).get(key, 0)
        said: list[int] = []
        for guess in [*guesses[:fed], None]:
            token = draw([*known, *said])
            said.append(token)
            if token != guess:
                break
        pacer.observe(1 + fed, cost(1 + fed))
        pacer.settle(key, guesses, fed, said)
        known.extend(said)
        steps += 1
    pacer.forget(key)
    drafter.forget(key)
    return list(known[len(prompt) :]), steps

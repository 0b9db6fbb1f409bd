"""DRY against a search for repetitions by hand, and breakers found in tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inference_worker.backends.sampling.breakers import Breakers
from services.inference_worker.backends.sampling.dry import Dry
from tests.unit.inference_worker.backends.sampling.reference import Letters

MULTIPLIER, BASE = 0.8, 1.75


def by_hand(tokens: Sequence[int], allowed: int) -> dict[int, float]:
    """For each token the penalty of the longest repetition that it would go on with, without breakers."""
    longest: dict[int, int] = {}
    for end in range(len(tokens) - 1):
        length = 0
        while length <= end and tokens[end - length] == tokens[len(tokens) - 1 - length]:
            length += 1
        following = tokens[end + 1]
        if length >= allowed:
            longest[following] = max(length, longest.get(following, 0))
    return {token: MULTIPLIER * BASE ** (length - allowed) for token, length in longest.items()}


def dry(allowed: int = 2, window: int = -1, breakers: Sequence[str] = (), base: float = BASE) -> Dry:
    return Dry(MULTIPLIER, base, allowed, window, Breakers(breakers, Letters()))


def taken_off(dry: Dry, size: int = 120) -> dict[int, float]:
    logits = np.zeros(size, np.float32)
    dry.apply(logits)
    return {int(token): -float(logits[token]) for token in np.flatnonzero(logits)}


def letters(text: str) -> list[int]:
    return Letters().plain(text.encode())


@given(
    st.lists(st.integers(0, 3), max_size=100),
    st.lists(st.integers(0, 3), max_size=20),
    st.integers(1, 4),
    st.sampled_from([-1, 2, 7, 80]),
)
def test_the_longest_repetition_counts(
    first: list[int], second: list[int], allowed: int, window: int
) -> None:
    made = dry(allowed, window)
    made.observe(first)
    for token in second:
        made.observe([token])
    tokens = [*first, *second]
    expected = by_hand(tokens if window < 0 else tokens[-window:], allowed)
    assert taken_off(made) == pytest.approx(expected, rel=1e-5)


def test_a_repetition_does_not_reach_over_a_breaker() -> None:
    text = "the cat\nthe ca"
    free, broken = dry(), dry(breakers=("\n",))
    free.observe(letters("x" + text))
    broken.observe(letters("x" + text))
    assert taken_off(broken) == taken_off(free) == {letters("t")[0]: pytest.approx(MULTIPLIER * BASE**4)}
    near = dry(breakers=("e",))
    near.observe(letters("x" + text))
    # Behind the breaker only " ca" is a repetition.
    assert taken_off(near) == {letters("t")[0]: pytest.approx(MULTIPLIER * BASE)}


def test_a_breaker_itself_is_never_punished() -> None:
    made = dry(breakers=("t",))
    made.observe(letters("cat ca"))
    assert taken_off(made) == {}


def test_a_breaker_of_several_tokens_counts_once_it_is_complete() -> None:
    made = dry(breakers=("ab",))
    made.observe(letters("xyzabc xyza"))
    # "ab" is not complete at the end, so all of "xyza" repeats.
    assert taken_off(made) == {letters("b")[0]: pytest.approx(MULTIPLIER * BASE**2)}
    made.observe(letters("bc"))
    # Behind the breaker there is only "c".
    assert taken_off(made) == {}


def test_a_long_repetition_stays_a_number() -> None:
    made = dry()
    made.observe(letters("a" * 5000))
    (penalty,) = taken_off(made).values()
    assert 1e29 < penalty < np.inf
    flat = dry(base=1.0)
    flat.observe(letters("a" * 5000))
    assert taken_off(flat) == {letters("a")[0]: pytest.approx(MULTIPLIER)}


class Pieces:
    """Words of more than a letter."""

    def __init__(self, *pieces: str) -> None:
        self._pieces = [piece.encode() for piece in pieces]

    def piece(self, token: int) -> bytes:
        return self._pieces[token]

    def plain(self, text: bytes) -> list[int]:
        return list(text)


def test_breakers_are_found_in_tokens_and_over_their_borders() -> None:
    breakers = Breakers(("\n", "::", "<end>"), Pieces("x", "a\nb", "x:", "<e", "y<", "::z", "", "end>"))
    assert breakers.tails(0) == ()
    assert breakers.tails(1) == ((),)
    assert breakers.tails(2) == (tuple(b":"),)
    assert breakers.tails(3) == (tuple(b"nd>"),)
    assert breakers.tails(4) == (tuple(b"end>"),)
    assert breakers.tails(5) == ((),)
    assert breakers.tails(6) == ()
    assert breakers.tails(7) == ()


def test_a_long_tail_is_cut() -> None:
    assert len(Breakers(("<" + "x" * 39,), Pieces("<")).tails(0)[0]) == 20

"""What a vote weighs: log-odds of the verified accuracy, bounded, and 1 for whoever is unknown."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.consensus.strategies.base import Kind, Vote
from services.consensus.weights import (
    LEAST,
    MOST,
    PRIOR_STRENGTH,
    Record,
    Voter,
    smoothed_accuracy,
    weight,
    weights,
)

counts = st.integers(0, 100_000)


def test_an_unknown_voter_weighs_what_a_vote_weighs_by_itself() -> None:
    assert weight(Record()) == pytest.approx(Vote(0, "Zeus", Kind.WORDS).weight)


def test_the_prior_fades() -> None:
    # By hand: (80 + 4 * e / (1 + e)) / 104.
    assert smoothed_accuracy(Record(80, 20)) == pytest.approx((80 + 4 * 0.7310585786) / 104)
    assert weight(Record(80_000, 20_000)) == pytest.approx(math.log(4), abs=1e-4)
    assert PRIOR_STRENGTH == 4


@given(right=counts, wrong=counts)
def test_a_weight_is_bounded_and_follows_the_record(right: int, wrong: int) -> None:
    record = Record(right, wrong)
    assert LEAST <= weight(record) <= MOST
    assert weight(record.with_outcome(False)) <= weight(record) <= weight(record.with_outcome(True))


def test_who_is_always_wrong_weighs_next_to_nothing_and_never_against() -> None:
    assert weight(Record(0, 50)) == LEAST > 0


def test_who_is_always_right_can_be_outvoted() -> None:
    assert weight(Record(10_000, 0)) == MOST
    assert 3 * weight(Record(800, 200)) > MOST


def test_a_worker_has_a_record_for_each_model() -> None:
    small, large = Voter("zeus", "small"), Voter("zeus", "large")
    found = weights({small: Record(10, 40), large: Record(45, 5)})
    assert found[small] < 1 < found[large]


@pytest.mark.parametrize("name", ["right", "wrong"])
def test_counts_are_not_negative(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected 0 or more, got -1"):
        Record(**{name: -1})

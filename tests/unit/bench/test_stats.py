"""Medians, spreads, ratios of paired rounds, verdicts."""

from __future__ import annotations

import pytest

from tests.bench.stats import Figures, Row, Verdict, at_least, at_most, ratios


def test_the_median_is_the_middle_and_the_spread_the_ends() -> None:
    odd, even = Figures((3.0, 1.0, 2.0)), Figures((4.0, 1.0, 2.0, 3.0))
    assert (odd.median, odd.spread) == (2.0, (1.0, 3.0))
    assert (even.median, even.spread) == (2.5, (1.0, 4.0))


def test_ratios_are_taken_round_by_round() -> None:
    """The machine was half as fast in the second round: the ratio does not know it."""
    found = ratios([30.0, 15.0, 33.0], [20.0, 10.0, 20.0])
    assert found.values == pytest.approx((1.5, 1.5, 1.65))
    assert found.median == pytest.approx(1.5)


@pytest.mark.parametrize(("ours", "theirs"), [([1.0], [1.0, 2.0]), ([], [])])
def test_rounds_that_do_not_pair_are_refused(ours: list[float], theirs: list[float]) -> None:
    with pytest.raises(ValueError, match="do not pair"):
        ratios(ours, theirs)


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        (1.2, Verdict.MET),
        (1.0, Verdict.MET),
        (0.96, Verdict.NEAR),
        (0.95, Verdict.NEAR),
        (0.94, Verdict.MISSED),
    ],
)
def test_at_least(value: float, verdict: Verdict) -> None:
    assert at_least(1.0).verdict(value) is verdict


@pytest.mark.parametrize(
    ("value", "verdict"),
    [(0.5, Verdict.MET), (0.6, Verdict.MET), (0.629, Verdict.NEAR), (0.64, Verdict.MISSED)],
)
def test_at_most(value: float, verdict: Verdict) -> None:
    assert at_most(0.6).verdict(value) is verdict


def test_a_row_with_a_peer_is_judged_by_its_ratio() -> None:
    row = Row("clients", "tok/s", [90.0, 110.0, 100.0], "llama-server", [100.0, 100.0, 100.0], at_least(1.0))
    assert row.judged.median == pytest.approx(1.0)
    assert row.verdict is Verdict.MET
    worse = Row("clients", "tok/s", [80.0], "llama-server", [100.0], at_least(1.0))
    assert worse.verdict is Verdict.MISSED


def test_a_row_without_a_peer_is_judged_by_its_own_figures() -> None:
    row = Row("a token", "ms", [0.4, 0.9, 0.45], goal=at_most(0.5))
    assert row.ratio is None
    assert row.verdict is Verdict.MET


def test_a_row_without_a_goal_has_no_verdict() -> None:
    assert Row("cold", "s", [1.0], "llama-server", [2.0]).verdict is Verdict.NONE

from __future__ import annotations

from random import Random

import pytest

from services.inference_worker.engine.step_cost import StepCost


def ratio(cost: StepCost, rows: int, base: int = 1) -> float:
    return cost.relative(rows) / cost.relative(base)


def test_before_anything_is_measured_rows_are_hoped_to_be_cheap() -> None:
    assert 1 < ratio(StepCost(), 5) < 1.5


def test_measured_counts_are_known_and_those_between_are_interpolated() -> None:
    cost = StepCost()
    for rows, seconds in ((1, 0.030), (5, 0.072), (9, 0.102)):
        for _ in range(5):
            cost.observe(rows, seconds)

    assert ratio(cost, 5) == pytest.approx(2.4)
    assert ratio(cost, 7) == pytest.approx(2.9)
    assert ratio(cost, 9) == pytest.approx(3.4)
    assert 3.4 < ratio(cost, 17) == ratio(cost, 20) < 6.1
    assert cost.in_units(0.030) == pytest.approx(cost.relative(1))


def test_noise_is_averaged() -> None:
    random, cost = Random(1), StepCost()
    for _ in range(300):
        rows = random.choice((1, 5))
        cost.observe(rows, (0.03 if rows == 1 else 0.06) * random.uniform(0.8, 1.2))

    assert ratio(cost, 5) == pytest.approx(2.0, rel=0.1)


def test_a_slow_machine_changes_all_counts_alike() -> None:
    cost = StepCost()
    for _ in range(10):
        cost.observe(1, 0.03)
        cost.observe(5, 0.06)
    for _ in range(12):
        cost.observe(5, 0.12)

    assert ratio(cost, 5) < 2.8
    assert cost.in_units(0.06) < 1.3 * cost.relative(1)


def test_a_slow_first_step_of_its_kind_is_forgiven() -> None:
    cost = StepCost()
    cost.observe(1, 0.03)
    cost.observe(2, 0.30)
    cost.observe(2, 0.033)

    assert ratio(cost, 2) == pytest.approx(1.1)


def test_more_rows_never_cost_less() -> None:
    random, cost = Random(2), StepCost()
    for _ in range(500):
        cost.observe(random.randrange(1, 200), random.uniform(0.01, 0.05))
    costs = [cost.relative(rows) for rows in range(1, 600)]

    assert costs == sorted(costs)
    assert costs[0] > 0


def test_large_counts_share_their_class() -> None:
    cost = StepCost()
    cost.observe(500, 1.0)

    assert cost.is_known(512)
    assert not cost.is_known(16)
    assert len({rows for rows in range(1, 4096) if StepCost.class_of(rows) == rows}) < 70


def test_a_count_that_was_not_measured_for_long_is_not_known() -> None:
    cost = StepCost()
    cost.observe(1, 0.03)
    assert cost.is_known(1)
    for _ in range(200):
        cost.observe(5, 0.06)

    assert not cost.is_known(1)


def test_senseless_measurements_are_ignored() -> None:
    cost = StepCost()
    cost.observe(0, 1.0)
    cost.observe(4, 0.0)

    assert not cost.is_known(4)
    assert cost.in_units(1.0) == 0

"""The learning rate's way: up, level, down."""

from __future__ import annotations

import pytest

from deploy.built_in_model.schedule import FLOOR, Schedule


def test_it_warms_up_stays_and_decays() -> None:
    schedule = Schedule(budget=100.0, decay=20.0, warmup_steps=10)
    assert schedule.factor(0, 0.0) == pytest.approx(0.1)
    assert schedule.factor(9, 1.0) == 1.0
    assert schedule.factor(500, 79.9) == 1.0
    assert schedule.decay_start is None
    assert schedule.factor(501, 80.0) == 1.0
    assert schedule.factor(600, 90.0) == pytest.approx(FLOOR + (1 - FLOOR) / 2)
    assert schedule.factor(700, 100.0) == pytest.approx(FLOOR)
    assert not schedule.finished(99.9)
    assert schedule.finished(100.0)


def test_a_decay_asked_for_starts_at_once_and_only_once() -> None:
    schedule = Schedule(budget=100.0, decay=20.0, warmup_steps=1)
    schedule.begin_decay(30.0, 10.0)
    schedule.begin_decay(35.0, 50.0)
    assert schedule.factor(10, 35.0) == pytest.approx(FLOOR + (1 - FLOOR) / 2)
    assert schedule.finished(40.0)


def test_without_a_decay_it_is_never_finished() -> None:
    assert not Schedule(budget=100.0, decay=20.0).finished(1000.0)

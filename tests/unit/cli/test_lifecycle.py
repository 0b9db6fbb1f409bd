"""The life of a process: pauses grow, steady runs forgive, what cannot start is not tried again."""

from __future__ import annotations

from services.cli import lifecycle
from services.cli.lifecycle import Life, State
from services.common.process import EXIT_CANNOT_START


def crash(life: Life, now: float) -> Life:
    return lifecycle.exited(lifecycle.ready(lifecycle.started(life, now), now), -9, now)


def test_a_crash_is_followed_by_a_restart_well_within_five_seconds() -> None:
    life = crash(Life(), 100.0)
    assert life.state is State.STOPPED
    assert life.restart_at is not None
    assert life.restart_at - 100.0 <= 1.0
    assert life.restarts == 1
    assert life.detail == "killed by signal 9"


def test_pauses_grow_to_their_limit() -> None:
    life, pauses = Life(), []
    for now in range(12):
        life = crash(life, float(now))
        assert life.restart_at is not None
        pauses.append(life.restart_at - now)
    assert pauses == sorted(pauses)
    assert pauses[0] == lifecycle.FIRST_PAUSE
    assert pauses[-1] == lifecycle.LONGEST_PAUSE


def test_a_steady_run_is_a_new_story() -> None:
    life = Life()
    for now in range(6):
        life = crash(life, float(now))
    life = lifecycle.ready(lifecycle.started(life, 10.0), 10.0)
    life = lifecycle.exited(life, 1, 10.0 + lifecycle.STEADY)
    assert life.restart_at == 10.0 + lifecycle.STEADY + lifecycle.FIRST_PAUSE


def test_what_says_that_it_cannot_start_is_not_tried_again() -> None:
    life = lifecycle.exited(lifecycle.started(Life(), 0.0), EXIT_CANNOT_START, 1.0)
    assert life.state is State.FAILED
    assert life.restart_at is None


def test_what_has_run_steadily_is_tried_again_even_if_it_says_that_it_cannot_start() -> None:
    life = lifecycle.exited(lifecycle.ready(lifecycle.started(Life(), 0.0), 0.0), -9, lifecycle.STEADY)
    for now in range(100, 120):
        life = lifecycle.exited(lifecycle.started(life, now), EXIT_CANNOT_START, now)
        assert life.state is State.STOPPED
        assert life.restart_at is not None


def test_what_never_was_ready_fails_after_some_tries() -> None:
    life = Life()
    for _ in range(lifecycle.STILLBORN - 1):
        life = lifecycle.exited(lifecycle.started(life, 0.0), 1, 0.1)
        assert life.state is State.STOPPED
    assert lifecycle.exited(lifecycle.started(life, 0.0), 1, 0.1).state is State.FAILED


def test_a_wanted_end_is_no_crash() -> None:
    life = lifecycle.exited(lifecycle.stopping(lifecycle.started(Life(), 0.0), 1.0), -15, 2.0)
    assert (life.state, life.restarts, life.restart_at) == (State.STOPPED, 0, None)


def test_ready_counts_only_while_starting() -> None:
    life = lifecycle.stopping(Life(State.READY), 1.0)
    assert lifecycle.ready(life, 2.0) is life

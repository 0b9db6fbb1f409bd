from __future__ import annotations

from random import Random

from services.common.names import NAMES, draw_name


def test_a_drawn_name_is_free_whatever_its_case() -> None:
    taken = [name.upper() for name in NAMES if name != "Zeus"]
    assert draw_name(taken, Random(1)) == "Zeus"


def test_names_are_numbered_once_all_are_taken() -> None:
    drawn: list[str] = []
    for seed in range(2 * len(NAMES) + 1):
        drawn.append(draw_name(drawn, Random(seed)))
    assert len(set(drawn)) == len(drawn)
    assert set(drawn[: len(NAMES)]) == set(NAMES)
    assert all(name.endswith(" 2") for name in drawn[len(NAMES) : -1])
    assert drawn[-1].endswith(" 3")


def test_names_differ_between_draws() -> None:
    assert len({draw_name([], Random(seed)) for seed in range(40)}) > 20

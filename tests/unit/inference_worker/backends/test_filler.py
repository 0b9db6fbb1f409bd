"""How many rows a step lacks to be quick."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inference_worker.backends.llama_cpp.filler import TILE, Filler


def grouped(rows: int) -> float:
    """Groups of four at once, what is left over row by row, as on two cores."""
    whole, rest = divmod(rows, 4)
    return 1.0 * whole + 0.9 * rest


def even(rows: int) -> float:
    return float(rows)


def measured(cost: Callable[[int], float], **facts: int) -> Filler:
    filler = Filler(width=900, tiled=False, **facts)
    filler.measure(cost)
    return filler


class TestGroups:
    @pytest.mark.parametrize(
        ("rows", "missing"),
        [(1, 0), (2, 0), (3, 1), (4, 0), (5, 3), (6, 2), (7, 1), (8, 0), (13, 3), (71, 1), (510, 2)],
    )
    def test_rows_are_filled_up_to_whole_groups(self, rows: int, missing: int) -> None:
        assert measured(grouped).missing(rows, rows, 0) == missing

    def test_not_where_every_row_costs_the_same(self) -> None:
        filler = measured(even)
        assert all(filler.missing(rows, rows, 0) == 0 for rows in range(1, 100))

    def test_three_are_filled_up_only_if_that_was_measured_to_pay(self) -> None:
        filler = measured(lambda rows: {3: 3.0, 4: 3.0, 6: 5.0, 8: 4.0}[rows])
        assert (filler.missing(3, 3, 0), filler.missing(6, 6, 0)) == (0, 2)

    def test_noise_decides_nothing(self) -> None:
        assert measured(lambda rows: 0.99 if rows in (8, 4) else 1.0).missing(6, 6, 0) == 0

    def test_the_second_measurement_counts(self) -> None:
        """The first steps of a kind are slow for reasons of their own."""
        seen: dict[int, int] = {}

        def cost(rows: int) -> float:
            seen[rows] = seen.get(rows, 0) + 1
            return 9.0 if seen[rows] == 1 else grouped(rows)

        assert measured(cost).missing(6, 6, 0) == 2

    def test_nothing_before_anything_was_measured(self) -> None:
        assert Filler(width=900, tiled=False).missing(6, 6, 0) == 0


class TestTiles:
    @pytest.mark.parametrize(
        ("rows", "depth", "missing"),
        # From measurements: 57 rows at a depth of 8,192 take 1,051 ms, filled up 600; 24 take 448 or 496.
        [
            (57, 8192, 7),
            (32, 8192, 32),
            (16, 8192, 0),
            (57, 2048, 7),
            (24, 2048, 0),
            (48, 0, 0),
            (64, 8192, 0),
        ],
    )
    def test_a_prompt_deep_in_a_context_is_filled_up_to_a_tile(
        self, rows: int, depth: int, missing: int
    ) -> None:
        assert Filler(width=896, tiled=True).missing(rows, 1, depth) == missing

    def test_not_rows_of_several_sequences(self) -> None:
        """A tile looks at all cells that any of its rows looks at."""
        assert Filler(width=896, tiled=True).missing(57, 2, 8192) == 0

    def test_a_window_ends_the_depth(self) -> None:
        assert Filler(width=896, tiled=True, window=256).missing(48, 1, 30_000) == 0

    def test_not_where_attention_has_no_tiles(self) -> None:
        assert Filler(width=896, tiled=False).missing(57, 1, 8192) == 0

    @given(
        rows=st.integers(1, 600),
        sequences=st.integers(1, 20),
        depth=st.integers(0, 100_000),
        tiled=st.booleans(),
    )
    def test_never_more_than_to_the_next_group_or_tile(
        self, rows: int, sequences: int, depth: int, tiled: bool
    ) -> None:
        filler = Filler(width=900, tiled=tiled)
        filler.measure(grouped)
        missing = filler.missing(rows, sequences, depth)
        assert 0 <= missing < 4 or rows + missing == TILE

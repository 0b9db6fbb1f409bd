"""The highest values and the place where a sum is reached, against sorting and adding all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from services.inference_worker.backends.sampling.ordering import highest, reaching

# Few different values, so that many are equal.
floats = st.sampled_from([-np.inf, -3.5, -1e-40, -1.0, 0.5, 1.0, 2.0, 1e30])


def plainly(values: np.ndarray[tuple[int], np.dtype[np.float32]], count: int) -> list[int]:
    order = np.argsort(-values, kind="stable")
    return [int(index) for index in order if values[index] > -np.inf][:count]


@given(arrays.arrays(np.float32, st.integers(1, 300), elements=floats), st.integers(1, 320))
def test_the_highest_come_in_order(values: np.ndarray[tuple[int], np.dtype[np.float32]], count: int) -> None:
    assert highest(values, count).tolist() == plainly(values, count)


@pytest.mark.parametrize("size", [1025, 5000, 70_003])
@pytest.mark.parametrize("count", [1, 40, 500, 1024, 4999, 200_000])
@pytest.mark.parametrize("kind", ["normal", "few", "masked"])
def test_so_they_do_out_of_many(size: int, count: int, kind: str) -> None:
    random = np.random.default_rng(size + count)
    values = random.standard_normal(size).astype(np.float32)
    if kind == "few":
        values = np.round(values)
    if kind == "masked":
        values[random.random(size) < 0.999] = -np.inf
    assert highest(values, count).tolist() == plainly(values, count)


@given(
    arrays.arrays(np.float32, st.integers(1, 200), elements=st.sampled_from([0.0, 0.25, 0.5, 3.0])),
    st.floats(2**-53, 1),
)
def test_a_share_is_reached_where_the_sum_says(
    weights: np.ndarray[tuple[int], np.dtype[np.float32]], share: float
) -> None:
    sums = np.cumsum(weights, dtype=np.float64)
    if sums[-1] == 0:
        return
    found = reaching(weights, share)
    assert found is not None
    assert weights[found] > 0
    assert sums[found] >= share * sums[-1]
    assert found == 0 or sums[found - 1] < share * sums[-1]


@pytest.mark.parametrize("size", [2048, 2049, 9000, 151_936])
def test_so_it_is_among_many(size: int) -> None:
    random = np.random.default_rng(size)
    weights = np.where(random.random(size) < 0.7, 0, random.random(size)).astype(np.float32)
    sums = np.cumsum(weights, dtype=np.float64)
    for share in [1e-300, 1.0, *random.random(200)]:
        found = reaching(weights, share)
        assert found is not None
        assert weights[found] > 0
        # Blocks are added up in float32: the place may be off by what that rounds away.
        assert abs(sums[found] - share * sums[-1]) <= 1 + 1e-6 * sums[-1]


@pytest.mark.parametrize("size", [10, 5000])
def test_what_is_more_than_there_is_is_never_reached(size: int) -> None:
    weights = np.full(size, 0.5, np.float32)
    assert reaching(weights, 1.0, total=size) is None
    assert reaching(weights, 0.5, total=size) == size - 1
    assert reaching(weights, 0.25, total=size) == size // 2 - 1
    assert reaching(weights, 0.0, total=1.0) == 0

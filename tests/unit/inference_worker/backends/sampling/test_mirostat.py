"""Mirostat keeps the surprise at its target; which tokens it keeps is compared with llama.cpp elsewhere."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inference_worker.backends.sampling.candidates import Candidates
from services.inference_worker.backends.sampling.mirostat import Mirostat, MirostatOne, MirostatTwo
from services.inference_worker.backends.sampling.rows import Logits

SIZE = 2000


def zipf(exponent: float) -> Logits:
    values: Logits = (-exponent * np.log(np.arange(1, SIZE + 1))).astype(np.float32)
    return values


def made(version: int, tau: float, eta: float) -> Mirostat:
    return MirostatOne(tau, eta, SIZE) if version == 1 else MirostatTwo(tau, eta)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("tau", [1.5, 3.0, 4.5])
def test_the_surprise_settles_at_the_target(version: int, tau: float) -> None:
    row = zipf(1.1)
    mirostat, random = made(version, tau, 0.1), Random(3)
    surprises = []
    for _ in range(1500):
        candidates = Candidates(row, np.empty_like(row))
        weights = np.exp(mirostat.kept(candidates).logits.astype(np.float64))
        token = mirostat.draw(candidates, 1.0 - random.random())
        surprises.append(-math.log2(math.exp(row[token]) / weights.sum()))
    assert np.mean(surprises[300:]) == pytest.approx(tau, abs=0.2)


@pytest.mark.parametrize("version", [1, 2])
@given(
    st.floats(0, 100),
    st.floats(0, 1),
    st.lists(st.sampled_from([0.0, 1.0, 5.5, -1e30, -np.inf, 1000.0]), min_size=1, max_size=150),
    st.lists(st.floats(0, 1, exclude_min=True), min_size=1, max_size=30),
)
def test_odd_targets_and_logits_still_draw_a_possible_token(
    version: int, tau: float, eta: float, values: list[float], shares: list[float]
) -> None:
    row = np.array([1.0, *values], np.float32)
    mirostat = MirostatOne(tau, eta, row.size) if version == 1 else MirostatTwo(tau, eta)
    for share in shares:
        token = mirostat.draw(Candidates(row, np.empty_like(row)), share)
        assert row[token] > -np.inf

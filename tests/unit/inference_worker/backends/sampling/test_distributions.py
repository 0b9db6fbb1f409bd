"""Draws against the plain reference: every filter alone, all together, with and without a mask."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.inference_worker.backends.base import SamplerSpec
from services.inference_worker.backends.sampling.rows import Logits
from tests.unit.inference_worker.backends.sampling.reference import (
    agree,
    mask_of,
    probabilities,
    sampler_of,
)

DRAWS = 2000
MANY = 4000
PLAIN = SamplerSpec(temperature=1.0, seed=7)
SPECS = [
    PLAIN,
    replace(PLAIN, temperature=0.3),
    replace(PLAIN, temperature=2.0),
    replace(PLAIN, top_k=1),
    replace(PLAIN, top_k=12),
    replace(PLAIN, top_k=10**9),
    replace(PLAIN, typical_p=0.4),
    replace(PLAIN, typical_p=0.0),
    replace(PLAIN, top_p=0.7),
    replace(PLAIN, top_p=0.0),
    replace(PLAIN, min_p=0.05),
    replace(PLAIN, min_p=1.0),
    replace(PLAIN, xtc_probability=0.5, xtc_threshold=0.05),
    replace(PLAIN, xtc_probability=1.0, xtc_threshold=0.0),
    replace(PLAIN, xtc_probability=1.0, xtc_threshold=0.51),
    replace(PLAIN, logit_bias=((3, 4.0), (0, -100.0), (40, -1.5))),
    replace(PLAIN, temperature=0.8, top_k=30, typical_p=0.9, top_p=0.9, min_p=0.02),
    replace(PLAIN, temperature=1.3, top_k=20, top_p=0.95, xtc_probability=0.3, xtc_threshold=0.1),
    replace(PLAIN, temperature=0.7, typical_p=0.8, min_p=0.1, logit_bias=((5, 2.0),)),
]
ALLOWED = [2, 3, 5, 31, 32, 33, 40, 59]


def logits(size: int = 60, spread: float = 2.0, seed: int = 1) -> Logits:
    values: Logits = (np.random.default_rng(seed).standard_normal(size) * spread).astype(np.float32)
    return values


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_draws_follow_the_reference(spec: SamplerSpec) -> None:
    row = logits()
    sampler = sampler_of(row, spec)
    draws = [sampler.sample(0).token for _ in range(DRAWS)]
    assert agree(draws, probabilities(row, spec))


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_a_mask_comes_before_every_filter(spec: SamplerSpec) -> None:
    row = logits()
    sampler = sampler_of(row, spec)
    mask = mask_of(ALLOWED, row.size)
    draws = [sampler.sample(0, mask).token for _ in range(DRAWS)]
    assert set(draws) <= set(ALLOWED)
    assert agree(draws, probabilities(row, spec, allowed=ALLOWED))


@pytest.mark.parametrize(
    "spec",
    [
        PLAIN,
        replace(PLAIN, temperature=0.5),
        replace(PLAIN, top_k=3000),
        replace(PLAIN, top_p=0.9),
        replace(PLAIN, typical_p=0.6),
        replace(PLAIN, min_p=0.1),
        replace(PLAIN, xtc_probability=1.0, xtc_threshold=0.001),
    ],
    ids=str,
)
@pytest.mark.parametrize("masked", [False, True])
def test_so_do_draws_from_a_large_and_flat_vocabulary(spec: SamplerSpec, masked: bool) -> None:
    row = logits(5000, 0.7)
    allowed = range(0, row.size, 2) if masked else None
    mask = mask_of(allowed, row.size) if allowed else None
    sampler = sampler_of(row, spec)
    draws = [sampler.sample(0, mask).token for _ in range(DRAWS)]
    assert agree(draws, probabilities(row, spec, allowed=allowed))


def test_the_judge_tells_a_wrong_distribution() -> None:
    row = logits()
    sampler = sampler_of(row, PLAIN)
    draws = [sampler.sample(0).token for _ in range(MANY)]
    assert not agree(draws, probabilities(row, replace(PLAIN, temperature=1.1)))
    assert not agree(draws, probabilities(row, replace(PLAIN, top_k=50)))


@pytest.mark.parametrize(
    "spec",
    [
        replace(PLAIN, repeat_penalty=1.3, frequency_penalty=0.4, presence_penalty=-0.2, repeat_last_n=8),
        replace(PLAIN, temperature=0.8, top_k=10, repeat_penalty=0.7, repeat_last_n=-1),
    ],
    ids=str,
)
def test_penalties_shift_the_distribution(spec: SamplerSpec) -> None:
    row = logits()
    history = [1, 2, 3, 3, 4, 4, 4, 50, 51, 51, 50, 7]
    draws = []
    for seed in range(MANY):
        sampler = sampler_of(row, replace(spec, seed=seed))
        sampler.observe(history)
        draws.append(sampler.sample(0).token)
    assert agree(draws, probabilities(row, spec, history))
    assert not agree(draws, probabilities(row, spec))

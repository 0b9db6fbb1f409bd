"""The window of the penalties, however its tokens come in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inference_worker.backends.base import SamplerSpec
from services.inference_worker.backends.sampling.penalties import Penalties
from tests.unit.inference_worker.backends.sampling.reference import penalised

SPEC = SamplerSpec(temperature=1.0, repeat_penalty=1.5, frequency_penalty=0.25, presence_penalty=-0.5)
# Some batches are long enough to be counted at once.
batches = st.lists(
    st.lists(st.integers(0, 19), max_size=9) | st.lists(st.integers(0, 19), min_size=64, max_size=90)
)


@given(batches, st.sampled_from([-1, 0, 1, 3, 70]))
def test_every_token_of_the_window_counts_as_often_as_it_stands_there(
    batches: list[list[int]], window: int
) -> None:
    spec = replace(SPEC, repeat_last_n=window)
    penalties = Penalties(1.5, 0.25, -0.5, window)
    for batch in batches:
        penalties.observe(batch)
    logits = np.linspace(-3, 3, 20).astype(np.float32)
    history = [token for batch in batches for token in batch]
    expected = penalised(logits.astype(np.float64), spec, history)
    penalties.apply(logits)
    assert logits == pytest.approx(expected, abs=1e-5)


def test_more_tokens_than_there_was_room_for() -> None:
    penalties = Penalties(1.0, 1.0, 0.0, -1)
    for token in range(1000):
        penalties.observe([token])
    logits = np.zeros(1001, np.float32)
    penalties.apply(logits)
    assert (logits[:1000] == -1).all()
    assert logits[1000] == 0


def test_what_is_impossible_stays_impossible() -> None:
    penalties = Penalties(1.5, -2.0, -2.0, -1)
    penalties.observe([0, 1])
    logits = np.array([-np.inf, 1.0], np.float32)
    penalties.apply(logits)
    assert logits[0] == -np.inf

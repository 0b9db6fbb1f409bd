"""What holds of every sampler, whatever its spec: the protocol's promises."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.inference_worker.backends.base import SamplerSpec, Undrawable
from services.inference_worker.backends.sampling.sampler import Samplers
from tests.unit.inference_worker.backends.sampling.reference import (
    Letters,
    adjusted,
    mask_of,
    probabilities,
    rows_of,
    sampler_of,
    softmax,
)

GREEDY = SamplerSpec(temperature=0.0)
SIZE = 64
share = st.floats(0, 1)
specs = st.builds(
    SamplerSpec,
    temperature=st.sampled_from([0.0, 1e-300, 1e-5, 0.5, 1.0, 2.0]),
    top_k=st.sampled_from([0, 1, 5, 2**31 - 1]),
    top_p=share,
    min_p=share,
    frequency_penalty=st.floats(-2, 2),
    presence_penalty=st.floats(-2, 2),
    seed=st.integers(0, 2**32 - 2),
    typical_p=share,
    repeat_penalty=st.floats(0.01, 100),
    repeat_last_n=st.sampled_from([-1, 0, 3, 2**31 - 1]),
    dry_multiplier=st.sampled_from([0.0, 0.8, 100.0]),
    dry_base=st.sampled_from([1.0, 1.75, 100.0]),
    dry_allowed_length=st.sampled_from([0, 2, 2**31 - 1]),
    dry_penalty_last_n=st.sampled_from([-1, 0, 4, 2**31 - 1]),
    dry_sequence_breakers=st.just(("\n", "ab")),
    xtc_probability=share,
    xtc_threshold=share,
    mirostat=st.sampled_from([0, 0, 1, 2]),
    mirostat_tau=st.floats(0, 100),
    mirostat_eta=share,
    logit_bias=st.sampled_from([(), ((3, -100.0), (9, 100.0))]),
    top_logprobs=st.sampled_from([None, 0, 3]),
)
values = st.lists(
    st.sampled_from([-np.inf, -1e30, -50.0, -1.0, 0.0, 1.0, 30.0]), min_size=SIZE, max_size=SIZE
)


@settings(max_examples=300, deadline=None)
@given(specs, values, st.sets(st.integers(0, SIZE - 1), min_size=1), st.lists(st.integers(0, SIZE - 1)))
def test_nothing_impossible_or_forbidden_is_drawn_and_seeds_decide(
    spec: SamplerSpec, values: list[float], allowed: set[int], history: list[int]
) -> None:
    row = np.array(values, np.float32)
    possible = sorted(token for token in allowed if row[token] > -np.inf)
    if not possible:
        return
    untouched = row.copy()
    mask = mask_of(allowed, SIZE)
    draws = []
    for _ in range(2):
        sampler = sampler_of(row, spec)
        sampler.observe(history)
        draws.append([sampler.sample(0, mask) for _ in range(8)])
        sampler.close()
    assert draws[0] == draws[1]
    assert {sampled.token for sampled in draws[0]} <= set(possible)
    assert (row == untouched).all(), "siblings draw from the same row"


def random_row(seed: int = 3, size: int = SIZE) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return (np.random.default_rng(seed).standard_normal(size) * 2).astype(np.float32)


def test_greedy_takes_the_likeliest_that_is_allowed() -> None:
    row = random_row()
    order = np.argsort(-row).tolist()
    sampler = sampler_of(row, GREEDY)
    assert sampler.sample(0).token == order[0]
    assert sampler.sample(0, mask_of(order[:3], SIZE)).token == order[0]
    assert sampler.sample(0, mask_of(order[3:], SIZE)).token == order[3]


@pytest.mark.parametrize(
    "extra", [{"typical_p": 0.1}, {"xtc_probability": 1.0}, {"mirostat": 2}, {"top_p": 0.0}]
)
def test_no_filter_makes_greedy_anything_else(extra: dict[str, float]) -> None:
    row = random_row()
    assert sampler_of(row, replace(GREEDY, **extra)).sample(0).token == row.argmax()


def test_greedy_heeds_bias_and_penalties() -> None:
    row = random_row()
    best, second = np.argsort(-row)[:2].tolist()
    assert sampler_of(row, replace(GREEDY, logit_bias=((best, -100.0),))).sample(0).token == second
    spec = replace(GREEDY, presence_penalty=2.0, frequency_penalty=2.0, repeat_last_n=-1)
    sampler = sampler_of(row, spec)
    taken: list[int] = []
    for _ in range(20):
        token = sampler.sample(0).token
        assert token == adjusted(row, spec, taken).argmax()
        taken.append(token)
    assert len(set(taken)) > 3


def test_the_probability_told_is_the_models_own() -> None:
    row = random_row()
    expected = np.log(softmax(row.astype(np.float64)))
    spec = SamplerSpec(temperature=0.1, top_k=1, logit_bias=((5, 100.0),), top_logprobs=4)
    sampled = sampler_of(row, spec).sample(0, mask_of([5, 6], SIZE))
    assert sampled.token == 5
    assert sampled.logprob == pytest.approx(expected[5], abs=1e-5)
    best = np.argsort(-row)[:4].tolist()
    assert [token for token, _ in sampled.top] == best
    assert [logprob for _, logprob in sampled.top] == pytest.approx(expected[best].tolist(), abs=1e-5)


@pytest.mark.parametrize(("asked", "told"), [(None, 0), (0, 0), (20, 20)])
def test_alternatives_are_told_as_many_as_were_asked_for(asked: int | None, told: int) -> None:
    assert len(sampler_of(random_row(), replace(GREEDY, top_logprobs=asked)).sample(0).top) == told


def test_only_what_was_taken_is_remembered() -> None:
    row = random_row()
    best, second = np.argsort(-row)[:2].tolist()
    sampler = sampler_of(row, replace(GREEDY, presence_penalty=2.0, repeat_penalty=100.0))
    # The mask takes the favourite away: that it would have been drawn does not count against it.
    assert sampler.sample(0, mask_of([second], SIZE)).token == second
    assert sampler.sample(0).token == best


def test_the_prompt_counts_for_the_penalties() -> None:
    row = random_row()
    spec = replace(GREEDY, presence_penalty=2.0, repeat_penalty=100.0)
    sampler = sampler_of(row, spec)
    sampler.observe([int(row.argmax())])
    assert sampler.sample(0).token == adjusted(row, spec, [int(row.argmax())]).argmax()
    assert sampler.sample(0).token != row.argmax()


def test_dry_works_in_a_sampler() -> None:
    row = random_row()
    best = int(row.argmax())
    spec = replace(GREEDY, dry_multiplier=100.0, dry_sequence_breakers=("\n",))
    sampler = sampler_of(row, spec)
    sampler.observe([1, 2, 3, best, 1, 2, 3])
    assert sampler.sample(0).token != best


def test_candidates_beside_each_other_draw_as_if_they_were_alone() -> None:
    rows = rows_of(random_row(1), random_row(2), random_row(3))
    samplers = Samplers(rows, Letters())
    specs = [
        SamplerSpec(temperature=0.9, seed=1, top_p=0.9, repeat_penalty=1.2),
        SamplerSpec(temperature=0.9, seed=2, mirostat=2, logit_bias=((1, 3.0),)),
        SamplerSpec(temperature=0.9, seed=3, xtc_probability=0.5, xtc_threshold=0.05, min_p=0.01),
    ]
    together = [samplers.make(spec) for spec in specs]
    mixed = [[sampler.sample(row).token for row, sampler in enumerate(together)] for _ in range(50)]
    for row, spec in enumerate(specs):
        alone = samplers.make(spec)
        assert [alone.sample(row).token for _ in range(50)] == [drawn[row] for drawn in mixed]


def test_a_new_decode_makes_the_rows_anew() -> None:
    row = random_row(1)
    rows = rows_of(row)
    sampler = Samplers(rows, Letters()).make(GREEDY)
    first = sampler.sample(0)
    row[:] = random_row(2)
    rows.clear()
    second = sampler.sample(0)
    assert second.token == row.argmax() != first.token
    assert second.logprob == pytest.approx(
        float(np.log(softmax(row.astype(np.float64))[second.token])), abs=1e-5
    )


@pytest.mark.parametrize("broken", [np.nan, np.inf])
@pytest.mark.parametrize("spec", [GREEDY, SamplerSpec(temperature=1.0)], ids=["greedy", "drawn"])
def test_logits_that_are_no_numbers_are_a_failure(broken: float, spec: SamplerSpec) -> None:
    row = random_row()
    row[7] = broken
    with pytest.raises(Undrawable, match="row 0"):
        sampler_of(row, spec).sample(0)
    with pytest.raises(Undrawable):
        sampler_of(np.full(SIZE, -np.inf, np.float32), spec).sample(0)


@pytest.mark.parametrize(
    "spec", [GREEDY, SamplerSpec(temperature=1.0), replace(GREEDY, presence_penalty=1.0)]
)
def test_a_mask_that_allows_nothing_is_told(spec: SamplerSpec) -> None:
    with pytest.raises(Undrawable, match="mask"):
        sampler_of(random_row(), spec).sample(0, mask_of([], SIZE))


def test_the_reference_knows_what_a_mask_leaves() -> None:
    expected = probabilities(random_row(), SamplerSpec(temperature=1.0, top_k=2), allowed=[1, 2, 3])
    assert np.count_nonzero(expected) == 2


@settings(max_examples=200, deadline=None)
@given(specs, st.integers(0, 12), st.integers(0, 2**32))
def test_what_another_has_drawn_is_gone_on_with_as_it_would(spec: SamplerSpec, place: int, seed: int) -> None:
    spec = replace(spec, mirostat=0)
    rows = np.random.default_rng(seed).normal(0, 3, (16, SIZE)).astype(np.float32)
    alone, other = (Samplers(rows_of(*rows), Letters()).make(spec) for _ in range(2))
    whole = [alone.sample(row) for row in range(len(rows))]
    other.replay(whole[:place])
    assert [other.sample(row) for row in range(place, len(rows))] == whole[place:]

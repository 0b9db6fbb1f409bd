"""What the filters keep, and what the penalties take off, against llama.cpp's own samplers."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import llama_cpp.llama_cpp as llama
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.inference_worker.backends.base import SamplerSpec
from services.inference_worker.backends.llama_cpp.vocabulary import LlamaVocabulary
from services.inference_worker.backends.sampling.breakers import Breakers
from services.inference_worker.backends.sampling.candidates import Candidates
from services.inference_worker.backends.sampling.dry import Dry
from services.inference_worker.backends.sampling.mirostat import MirostatOne, MirostatTwo
from services.inference_worker.backends.sampling.penalties import Penalties
from services.inference_worker.backends.sampling.rows import Logits
from tests.fakes import tiny_gguf

SIZE = 3000
BREAKERS = ("\n", ":", "ab", "<think>!", "xyz")


def random_logits(seed: int, spread: float, size: int = SIZE) -> Logits:
    values: Logits = (np.random.default_rng(seed).standard_normal(size) * spread).astype(np.float32)
    return values


def applied(logits: Logits, samplers: Sequence[llama.llama_sampler_p], taken: Sequence[int] = ()) -> Logits:
    """The logits that llama.cpp leaves, minus infinity where a token is gone. Frees the samplers."""
    data = (llama.llama_token_data * logits.size)(
        *(llama.llama_token_data(token, value, 0.0) for token, value in enumerate(logits.tolist()))
    )
    array = llama.llama_token_data_array(data, logits.size, -1, False)
    for sampler in samplers:
        for token in taken:
            llama.llama_sampler_accept(sampler, token)
        llama.llama_sampler_apply(sampler, ctypes.byref(array))
        llama.llama_sampler_free(sampler)
    result: Logits = np.full(logits.size, -np.inf, np.float32)
    for place in range(array.size):
        result[array.data[place].id] = array.data[place].logit
    return result


def kept(candidates: Candidates) -> set[int]:
    return {candidates.token(place) for place in np.flatnonzero(candidates.logits > -np.inf).tolist()}


@pytest.mark.parametrize("spread", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("seed", range(3))
def test_filters_keep_the_same_tokens(seed: int, spread: float) -> None:
    row = random_logits(seed, spread)
    full = Candidates(row, np.empty_like(row))
    cases = {
        "top_k": ([llama.llama_sampler_init_top_k(50)], full.top_k(50)),
        "typical": ([llama.llama_sampler_init_typical(0.37, 1)], full.typical(0.37)),
        "top_p": ([llama.llama_sampler_init_top_p(0.83, 1)], full.top_p(0.83)),
        "min_p": ([llama.llama_sampler_init_min_p(0.07, 1)], full.min_p(0.07)),
        "xtc": ([llama.llama_sampler_init_xtc(1.0, 0.004, 1, 1)], full.without_top(0.004)),
        "all": (
            [
                llama.llama_sampler_init_top_k(900),
                llama.llama_sampler_init_typical(0.9, 1),
                llama.llama_sampler_init_top_p(0.8, 1),
                llama.llama_sampler_init_min_p(0.01, 1),
                llama.llama_sampler_init_xtc(1.0, 0.02, 1, 1),
            ],
            full.top_k(900).typical(0.9).top_p(0.8).min_p(0.01).without_top(0.02),
        ),
    }
    for name, (theirs, ours) in cases.items():
        left = applied(row, theirs)
        # A sum in another order of rounding may put one token of the border on the other side.
        assert len(kept(ours) ^ set(np.flatnonzero(np.isfinite(left)).tolist())) <= 1, name


@pytest.mark.parametrize("window", [1, 5, 64, -1])
def test_penalties_take_the_same_off(window: int) -> None:
    row = random_logits(4, 2.0, 40)
    taken = np.random.default_rng(5).integers(0, 40, 150).tolist()
    ours = row.copy()
    penalties = Penalties(1.3, 0.25, -0.5, window)
    penalties.observe(taken)
    penalties.apply(ours)
    native = llama.llama_sampler_init_penalties(40, window if window > 0 else 1000, 1.3, 0.25, -0.5)
    assert ours == pytest.approx(applied(row, [native], taken), abs=1e-5)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[llama.llama_model_p]:
    path: Path = tiny_gguf.write(tmp_path_factory.mktemp("models") / "tiny.gguf")
    llama.llama_backend_init()
    parameters = llama.llama_model_default_params()
    parameters.vocab_only = True
    model = llama.llama_model_load_from_file(str(path).encode(), parameters)
    assert model
    yield model
    llama.llama_model_free(model)


DRY = SamplerSpec(temperature=1.0, dry_multiplier=0.8, dry_base=1.75, dry_allowed_length=2)
letters = st.lists(st.sampled_from("aabbcxyz!\n:<"), max_size=200)


@settings(max_examples=150, deadline=None)
@given(
    letters, letters, st.integers(0, 4), st.sampled_from([-1, 3, 20, 90]), st.sampled_from([1.0, 1.75, 9.0])
)
def test_dry_takes_the_same_off(
    model: llama.llama_model_p, prompt: list[str], answer: list[str], allowed: int, window: int, base: float
) -> None:
    vocabulary = LlamaVocabulary(model)
    # The prompt all at once, the answer token by token, with a look at the penalties in between.
    first = vocabulary.tokenize("".join(prompt) + "<think>")
    second = vocabulary.tokenize("".join(answer))
    spec = replace(DRY, dry_allowed_length=allowed, dry_penalty_last_n=window, dry_base=base)
    breakers = Breakers(BREAKERS, vocabulary)
    ours = Dry(spec.dry_multiplier, spec.dry_base, allowed, window, breakers)
    ours.observe(first)
    logits = np.zeros(vocabulary.facts.size, np.float32)
    for token in second:
        ours.apply(logits)
        ours.observe([token])
    logits[:] = 0
    ours.apply(logits)
    texts = (ctypes.c_char_p * len(BREAKERS))(*(text.encode() for text in BREAKERS))
    native = llama.llama_sampler_init_dry(
        llama.llama_model_get_vocab(model),
        spec.dry_multiplier,
        spec.dry_base,
        allowed,
        window if window > 0 else 10_000,
        texts,
        len(BREAKERS),
    )
    theirs = applied(np.zeros_like(logits), [native], [*first, *second])
    assert logits == pytest.approx(theirs, rel=1e-4)


@pytest.mark.parametrize("version", [1, 2])
def test_mirostat_keeps_as_many(version: int) -> None:
    for seed, tau in ((1, 1.0), (2, 3.0), (3, 5.0)):
        row = random_logits(seed, 2.0)
        data = (llama.llama_token_data * SIZE)(
            *(llama.llama_token_data(token, value, 0.0) for token, value in enumerate(row.tolist()))
        )
        array = llama.llama_token_data_array(data, SIZE, -1, False)
        if version == 1:
            native = llama.llama_sampler_init_mirostat(SIZE, 1, tau, 0.1, 100)
        else:
            native = llama.llama_sampler_init_mirostat_v2(1, tau, 0.1)
        llama.llama_sampler_apply(native, ctypes.byref(array))
        llama.llama_sampler_free(native)
        theirs = {array.data[place].id for place in range(array.size)}
        full = Candidates(row, np.empty_like(row))
        mirostat = MirostatOne(tau, 0.1, SIZE) if version == 1 else MirostatTwo(tau, 0.1)
        ours = kept(mirostat.kept(full))
        assert len(ours ^ theirs) <= 1 + len(theirs) // 500

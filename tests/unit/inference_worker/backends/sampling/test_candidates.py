"""Borders: exactly as many tokens stay as must, and of equal ones the first."""

from __future__ import annotations

import numpy as np
import pytest

from services.inference_worker.backends.sampling.candidates import Candidates
from services.inference_worker.backends.sampling.rows import Logits


def of(logits: Logits) -> Candidates:
    return Candidates(logits, np.empty_like(logits))


def tokens(candidates: Candidates) -> list[int]:
    return sorted(candidates.token(index) for index in range(candidates.logits.size))


@pytest.mark.parametrize("size", [64, 4096, 40_000])
@pytest.mark.parametrize("share", [0.3, 0.49, 0.75])
def test_top_p_keeps_the_first_of_equal_tokens(size: int, share: float) -> None:
    # Half a token more, so that rounding does not decide.
    kept = of(np.zeros(size, np.float32)).top_p(share + 0.5 / size)
    assert tokens(kept) == list(range(int(share * size + 0.5) + 1))


@pytest.mark.parametrize("count", [1, 40, 1024, 1025, 3999])
def test_top_k_keeps_the_first_of_equal_tokens(count: int) -> None:
    assert tokens(of(np.zeros(4000, np.float32)).top_k(count)) == list(range(count))


def test_top_p_of_all_leaves_out_only_what_is_impossible() -> None:
    logits = np.zeros(5000, np.float32)
    logits[::2] = -np.inf
    assert tokens(of(logits).top_p(np.nextafter(1.0, 0.0))) == list(range(1, 5000, 2))


@pytest.mark.parametrize("share", [0.3, 0.6])
@pytest.mark.parametrize("size", [64, 4096])
def test_typical_keeps_as_few_as_exceed_its_share(size: int, share: float) -> None:
    kept = of(np.zeros(size, np.float32)).typical(share + 0.5 / size)
    assert tokens(kept) == list(range(int(share * size + 0.5) + 1))


def test_filters_one_after_another_keep_the_tokens_names() -> None:
    logits = np.array([0.0, 5.0, 4.0, -3.0, 4.5], np.float32)
    assert tokens(of(logits).top_k(4).min_p(0.3)) == [1, 2, 4]
    assert tokens(of(logits).top_k(4).min_p(0.3).top_p(0.5)) == [1]


def test_xtc_keeps_the_unlikeliest_of_the_likely() -> None:
    logits = np.log(np.array([0.4, 0.3, 0.2, 0.1], np.float32))
    assert of(logits).without_top(0.15).logits.tolist()[:2] == [-np.inf, -np.inf]
    assert of(logits).without_top(0.15).logits[2:].tolist() == logits[2:].tolist()
    assert of(logits).without_top(0.35).logits.tolist() == logits.tolist(), "one alone stays"


def test_probabilities_are_those_among_the_candidates() -> None:
    kept = of(np.log(np.array([0.4, 0.3, 0.2, 0.1], np.float32))).top_k(2)
    assert sum(kept.probability(index) for index in range(2)) == pytest.approx(1.0)
    assert kept.probability(kept.likeliest) == pytest.approx(4 / 7)

"""Sampling written as plainly as can be, in float64 and over the whole vocabulary, and a judge of draws."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from services.inference_worker.backends.base import Mask, SamplerSpec
from services.inference_worker.backends.sampling.rows import Logits, Rows
from services.inference_worker.backends.sampling.sampler import Samplers, TokenSampler

Floats = npt.NDArray[np.float64]


class Letters:
    """Words for DRY: token t is the letter of that number, from the newline on."""

    def piece(self, token: int) -> bytes:
        return bytes([token + 10])

    def plain(self, text: bytes) -> list[int]:
        return [byte - 10 for byte in text]


def rows_of(*logits: Logits) -> Rows:
    return Rows(logits[0].size, lambda row: logits[row])


def sampler_of(logits: Logits, spec: SamplerSpec) -> TokenSampler:
    return Samplers(rows_of(logits), Letters()).make(spec)


def mask_of(allowed: Iterable[int], size: int) -> Mask:
    mask = np.zeros((size + 31) // 32, np.uint32)
    for token in allowed:
        mask[token // 32] |= np.uint32(1 << (token % 32))
    return mask


def softmax(logits: Floats) -> Floats:
    weights = np.exp(logits - logits.max())
    total: Floats = weights / weights.sum()
    return total


def _keep(logits: Floats, kept: Sequence[int] | npt.NDArray[np.int64]) -> Floats:
    result = np.full(logits.size, -np.inf)
    result[kept] = logits[kept]
    return result


def _down(values: Floats) -> npt.NDArray[np.int64]:
    order: npt.NDArray[np.int64] = np.argsort(-values, kind="stable")
    return order[np.isfinite(values[order])]


def top_k(logits: Floats, count: int) -> Floats:
    return _keep(logits, _down(logits)[:count])


def typical(logits: Floats, share: float) -> Floats:
    possible = np.flatnonzero(np.isfinite(logits))
    p = softmax(logits)[possible]
    with np.errstate(divide="ignore", invalid="ignore"):
        surprise = -np.log(p)
        entropy = float(np.where(p > 0, p * surprise, 0.0).sum())
    order = np.argsort(np.abs(surprise - entropy), kind="stable")
    last = int((np.cumsum(p[order]) > share).argmax())
    return _keep(logits, possible[order[: last + 1]])


def top_p(logits: Floats, share: float) -> Floats:
    order = _down(logits)
    sums = np.cumsum(softmax(logits)[order])
    last = int((sums >= share).argmax()) if (sums >= share).any() else order.size - 1
    return _keep(logits, order[: last + 1])


def min_p(logits: Floats, ratio: float) -> Floats:
    p = softmax(logits)
    return _keep(logits, np.flatnonzero(p >= ratio * p.max()))


def without_top(logits: Floats, threshold: float) -> Floats:
    order = _down(logits)
    hot = order[softmax(logits)[order] >= threshold]
    result = logits.copy()
    result[hot[:-1]] = -np.inf
    return result


def penalised(logits: Floats, spec: SamplerSpec, history: Sequence[int]) -> Floats:
    recent = history if spec.repeat_last_n < 0 else history[max(0, len(history) - spec.repeat_last_n) :]
    if spec.repeat_last_n == 0:
        recent = ()
    result = logits.copy()
    for token, count in Counter(recent).items():
        result[token] *= spec.repeat_penalty if result[token] <= 0 else 1 / spec.repeat_penalty
        result[token] -= count * spec.frequency_penalty + spec.presence_penalty
    return result


def adjusted(
    logits: Logits, spec: SamplerSpec, history: Sequence[int] = (), allowed: Iterable[int] | None = None
) -> Floats:
    """After mask, bias and penalties; without DRY."""
    result = logits.astype(np.float64)
    if allowed is not None:
        result = _keep(result, list(allowed))
    for token, bias in spec.logit_bias:
        result[token] += bias
    return penalised(result, spec, history)


def probabilities(
    logits: Logits, spec: SamplerSpec, history: Sequence[int] = (), allowed: Iterable[int] | None = None
) -> Floats:
    """What is drawn, without DRY and mirostat."""
    filters: list[tuple[bool, Callable[[Floats], Floats]]] = [
        (spec.top_k > 0, lambda x: top_k(x, spec.top_k)),
        (spec.typical_p < 1, lambda x: typical(x, spec.typical_p)),
        (spec.top_p < 1, lambda x: top_p(x, spec.top_p)),
        (spec.min_p > 0, lambda x: min_p(x, spec.min_p)),
    ]
    result = adjusted(logits, spec, history, allowed)
    for wanted, apply in filters:
        if wanted:
            result = apply(result)
    plain = softmax(result / spec.temperature)
    if not spec.xtc_probability or spec.xtc_threshold > 0.5:
        return plain
    cut = softmax(without_top(result, spec.xtc_threshold) / spec.temperature)
    return spec.xtc_probability * cut + (1 - spec.xtc_probability) * plain


def agree(draws: Sequence[int], expected: Floats) -> bool:
    """Pearson's test: False where so many draws from `expected` look so odd once in a million times."""
    counts = np.bincount(draws, minlength=expected.size).astype(np.float64)
    if counts[expected == 0].any():
        return False
    order = np.argsort(expected)
    wanted, seen = expected[order] * len(draws), counts[order]
    # Rare ones are counted together, so that each class expects at least ten.
    classes = np.minimum(np.cumsum(wanted) // 10, np.inf).astype(np.int64)
    wanted, seen = np.bincount(classes, wanted), np.bincount(classes, seen)
    wanted, seen = wanted[wanted > 0], seen[wanted > 0]
    if wanted.size > 1 and wanted[0] < 5:
        wanted[1] += wanted[0]
        seen[1] += seen[0]
        wanted, seen = wanted[1:], seen[1:]
    if wanted.size < 2:
        return True
    statistic = float(((seen - wanted) ** 2 / wanted).sum())
    # Wilson and Hilferty: the cube root is nearly normal.
    spread = 2 / (9 * (wanted.size - 1))
    deviation = ((statistic / (wanted.size - 1)) ** (1 / 3) - (1 - spread)) / math.sqrt(spread)
    return deviation < 4.75

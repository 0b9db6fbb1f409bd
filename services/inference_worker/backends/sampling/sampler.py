"""One candidate's sampler: adjusts a row of logits, filters it and draws."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from random import Random

import numpy as np

from services.inference_worker.backends.base import Mask, Row, Sampled, SamplerSpec, Undrawable
from services.inference_worker.backends.sampling.breakers import Breakers, Words
from services.inference_worker.backends.sampling.candidates import Candidates
from services.inference_worker.backends.sampling.dry import Dry
from services.inference_worker.backends.sampling.masks import Masker, allows
from services.inference_worker.backends.sampling.mirostat import Mirostat, MirostatOne, MirostatTwo
from services.inference_worker.backends.sampling.ordering import highest
from services.inference_worker.backends.sampling.penalties import Penalties
from services.inference_worker.backends.sampling.rows import Logits, Rows

# What is colder takes the likeliest token. llama.cpp divides by any temperature above 0, down to infinities.
_COLDEST = 1e-6
# XTC does nothing above it: two tokens cannot both be likelier than that.
_XTC_MOST = 0.5


class Samplers:
    """Makes samplers over one backend's rows. Belongs to the engine's thread, as they do."""

    def __init__(self, rows: Rows, words: Words) -> None:
        self._rows = rows
        self._masker = Masker(rows.size)
        self._breakers = lru_cache(maxsize=8)(lambda texts: Breakers(texts, words))

    def make(self, spec: SamplerSpec) -> TokenSampler:
        breakers = self._breakers(spec.dry_sequence_breakers) if spec.dry_multiplier else None
        return TokenSampler(spec, self._rows, self._masker, breakers)


class TokenSampler:
    """At temperature 0 the likeliest token is taken after bias, penalties and DRY; no filter applies."""

    def __init__(
        self, spec: SamplerSpec, rows: Rows, masker: Masker, breakers: Breakers | None = None
    ) -> None:
        """`breakers` are needed for DRY."""
        self._spec = spec
        self._rows = rows
        self._masker = masker
        self._greedy = spec.temperature < _COLDEST
        self._random = Random(spec.seed)  # noqa: S311 - nothing secret hangs on a token
        self._biased = np.array([token for token, _ in spec.logit_bias], np.int64)
        self._bias = np.array([bias for _, bias in spec.logit_bias], np.float32)
        self._penalties = _penalties(spec)
        self._dry = _dry(spec, breakers)
        self._xtc = spec.xtc_probability > 0 and spec.xtc_threshold <= _XTC_MOST
        self._mirostat = None if self._greedy else _mirostat(spec, rows.size)
        scaled = self._mirostat is not None and spec.temperature != 1
        self._adjusts = bool(scaled or spec.logit_bias or self._penalties or self._dry)

    def sample(self, row: Row, mask: Mask | None = None) -> Sampled:
        """As the protocol says."""
        logits = self._rows.logits(row)
        log_total = self._rows.log_sum_exp(row)
        token = self._choose(row, logits, mask)
        self._observe((token,))
        top: tuple[tuple[int, float], ...] = ()
        if self._spec.top_logprobs:
            best = highest(logits, self._spec.top_logprobs)
            top = tuple(zip(best.tolist(), (logits[best] - np.float32(log_total)).tolist(), strict=True))
        return Sampled(token, float(logits[token]) - log_total, top)

    def observe(self, tokens: Sequence[int]) -> None:
        self._observe(tokens)

    def replay(self, drawn: Sequence[Sampled]) -> None:
        """As the protocol says: every token has taken as many random numbers as `_choose` takes."""
        if not self._greedy:
            each = 2 if self._xtc and self._mirostat is None else 1
            for _ in range(each * len(drawn)):
                self._share()
        self._observe([sampled.token for sampled in drawn])

    def close(self) -> None:
        """Nothing to free."""

    def _observe(self, tokens: Sequence[int]) -> None:
        if self._penalties is not None:
            self._penalties.observe(tokens)
        if self._dry is not None:
            self._dry.observe(tokens)

    def _choose(self, row: Row, logits: Logits, mask: Mask | None) -> int:
        if self._greedy and not self._adjusts:
            token = self._rows.likeliest(row)
            if mask is None or allows(mask, token):
                return token
        candidates = self._candidates(row, logits, mask)
        if candidates.logits[candidates.likeliest] == -np.inf:
            raise Undrawable("the mask allows no token that can be drawn")
        if self._greedy:
            return candidates.token(candidates.likeliest)
        if self._mirostat is not None:
            return self._mirostat.draw(candidates, self._share())
        candidates = self._filter(candidates)
        return candidates.token(candidates.draw(self._share(), self._spec.temperature))

    def _share(self) -> float:
        """Above 0 and up to 1: a share of 0 would be reached by a token of no probability."""
        return 1.0 - self._random.random()

    def _candidates(self, row: Row, logits: Logits, mask: Mask | None) -> Candidates:
        rows = self._rows
        if mask is None and not self._adjusts:
            return Candidates(
                logits, rows.weights, likeliest=rows.likeliest(row), log_total=rows.log_sum_exp(row)
            )
        adjusted = rows.adjusted
        if mask is None:
            np.copyto(adjusted, logits)
        else:
            self._masker.apply(logits, mask, out=adjusted)
        if self._bias.size:
            adjusted[self._biased] += self._bias
        if self._penalties is not None:
            self._penalties.apply(adjusted)
        if self._dry is not None:
            self._dry.apply(adjusted)
        if self._mirostat is not None and self._spec.temperature != 1:
            np.divide(adjusted, np.float32(self._spec.temperature), out=adjusted)
        return Candidates(adjusted, rows.weights)

    def _filter(self, candidates: Candidates) -> Candidates:
        spec = self._spec
        if spec.top_k > 0:
            candidates = candidates.top_k(spec.top_k)
        if spec.typical_p < 1:
            candidates = candidates.typical(spec.typical_p)
        if spec.top_p < 1:
            candidates = candidates.top_p(spec.top_p)
        if spec.min_p > 0:
            candidates = candidates.min_p(spec.min_p)
        # One number for every token, whatever the logits are, so that the numbers behind it stay the same.
        if self._xtc and self._random.random() < spec.xtc_probability:
            candidates = candidates.without_top(spec.xtc_threshold)
        return candidates


def _penalties(spec: SamplerSpec) -> Penalties | None:
    idle = spec.repeat_penalty == 1 and not spec.frequency_penalty and not spec.presence_penalty
    if idle or spec.repeat_last_n == 0:
        return None
    return Penalties(spec.repeat_penalty, spec.frequency_penalty, spec.presence_penalty, spec.repeat_last_n)


def _dry(spec: SamplerSpec, breakers: Breakers | None) -> Dry | None:
    if not spec.dry_multiplier or spec.dry_base < 1 or spec.dry_penalty_last_n == 0:
        return None
    assert breakers is not None, "DRY needs its breakers"
    return Dry(spec.dry_multiplier, spec.dry_base, spec.dry_allowed_length, spec.dry_penalty_last_n, breakers)


def _mirostat(spec: SamplerSpec, vocabulary: int) -> Mirostat | None:
    if spec.mirostat == 1:
        return MirostatOne(spec.mirostat_tau, spec.mirostat_eta, vocabulary)
    if spec.mirostat == 2:
        return MirostatTwo(spec.mirostat_tau, spec.mirostat_eta)
    return None

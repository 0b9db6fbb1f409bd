"""Mirostat 1 and 2: candidates are cut so that the surprise of what is drawn keeps to a target, in bits."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from services.inference_worker.backends.sampling.candidates import Candidates
from services.inference_worker.backends.sampling.ordering import highest

# Tokens from which version 1 estimates how fast probabilities fall, as in llama.cpp.
_ESTIMATED_FROM = 100


class Mirostat(Protocol):
    def draw(self, candidates: Candidates, share: float) -> int:
        """A token; `share`, above 0 and up to 1, is the random number."""
        ...


class _Control:
    """`limit` is the surprise up to which tokens are kept (mu); each draw moves it towards the target."""

    def __init__(self, tau: float, eta: float) -> None:
        self._tau = tau
        self._eta = eta
        self.limit = 2 * tau

    def take(self, kept: Candidates, share: float) -> int:
        index, probability = kept.draw(share)
        self.limit -= self._eta * (-math.log2(probability) - self._tau)
        return kept.token(index)


class MirostatOne:
    def __init__(self, tau: float, eta: float, vocabulary: int) -> None:
        """`tau`: the target in bits, `eta`: how fast it is learned."""
        self._control = _Control(tau, eta)
        self._log_vocabulary = math.log(vocabulary)

    def draw(self, candidates: Candidates, share: float) -> int:
        return self._control.take(candidates.top_k(self._count(candidates)), share)

    def _count(self, candidates: Candidates) -> int:
        """How many tokens keep the surprise at the limit if probabilities fall as Zipf's law says."""
        best = candidates.logits[highest(candidates.logits, _ESTIMATED_FROM)].astype(np.float64)
        if best.size < 2:
            return 1
        ranks = np.arange(1, best.size)
        falls = np.log((ranks + 1) / ranks)
        exponent = float((falls * -np.diff(best)).sum() / (falls * falls).sum())
        # In logarithms: the powers leave the range of floats for odd targets.
        excess = exponent - 1
        log_power = self._control.limit * math.log(2) + self._log_ratio(excess)
        if exponent == 0:
            return candidates.logits.size if log_power > 0 else 1
        log_count = log_power / exponent
        if log_count >= self._log_vocabulary:
            return candidates.logits.size
        return max(1, int(math.exp(log_count)))

    def _log_ratio(self, excess: float) -> float:
        """log(excess / (1 - vocabulary ** -excess)), which has a limit at 0."""
        exponent = excess * self._log_vocabulary
        if abs(exponent) < 1e-9:
            return -math.log(self._log_vocabulary)
        # log((exp(x) - 1) / x) for either sign of x, without overflow.
        positive = abs(exponent)
        log_growth = math.log(-math.expm1(-positive)) + (0.0 if exponent > 0 else positive)
        return math.log(abs(excess)) - log_growth


class MirostatTwo:
    def __init__(self, tau: float, eta: float) -> None:
        """`tau`: the target in bits, `eta`: how fast it is learned."""
        self._control = _Control(tau, eta)

    def draw(self, candidates: Candidates, share: float) -> int:
        bound = candidates.log_total - self._control.limit * math.log(2)
        return self._control.take(candidates.at_least(bound), share)

"""Mirostat 1 and 2: candidates are cut so that the surprise of what is drawn keeps to a target, in bits."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np

from services.inference_worker.backends.sampling.candidates import Candidates
from services.inference_worker.backends.sampling.ordering import highest

# Tokens from which version 1 estimates how fast probabilities fall, as in llama.cpp.
_ESTIMATED_FROM = 100


class Mirostat(ABC):
    """`_limit` is the surprise up to which tokens are kept (mu); each draw moves it towards the target."""

    def __init__(self, tau: float, eta: float) -> None:
        """`tau`: the target in bits, `eta`: how fast it is learned."""
        self._tau = tau
        self._eta = eta
        self._limit = 2 * tau

    def draw(self, candidates: Candidates, share: float) -> int:
        """A token; `share`, above 0 and up to 1, is the random number."""
        kept = self.kept(candidates)
        index = kept.draw(share)
        self._limit -= self._eta * (-math.log2(kept.probability(index)) - self._tau)
        return kept.token(index)

    @abstractmethod
    def kept(self, candidates: Candidates) -> Candidates:
        """Those among which is drawn."""


class MirostatOne(Mirostat):
    """Version 1 estimates how many tokens keep the surprise at the limit if it rises as Zipf's law says."""

    def __init__(self, tau: float, eta: float, vocabulary: int) -> None:
        super().__init__(tau, eta)
        self._log_vocabulary = math.log(vocabulary)

    def kept(self, candidates: Candidates) -> Candidates:
        best = candidates.logits[highest(candidates.logits, _ESTIMATED_FROM)].astype(np.float64)
        if best.size < 2:
            return candidates.top_k(1)
        ranks = np.arange(1, best.size)
        falls = np.log((ranks + 1) / ranks)
        exponent = float((falls * -np.diff(best)).sum() / (falls * falls).sum())
        # In logarithms: the powers leave the range of floats for odd targets.
        log_power = self._limit * math.log(2) + self._log_ratio(exponent - 1)
        if exponent == 0:
            return candidates if log_power > 0 else candidates.top_k(1)
        log_count = log_power / exponent
        if log_count >= self._log_vocabulary:
            return candidates
        return candidates.top_k(max(1, int(math.exp(log_count))))

    def _log_ratio(self, excess: float) -> float:
        """log(excess / (1 - vocabulary ** -excess)), which has a limit at 0."""
        exponent = excess * self._log_vocabulary
        if abs(exponent) < 1e-9:
            return -math.log(self._log_vocabulary)
        # The divisor's sign is that of the excess; beyond the range of floats only the power counts.
        size = abs(exponent)
        log_divisor = math.log(-math.expm1(-size)) + (0.0 if exponent > 0 else size)
        return math.log(abs(excess)) - log_divisor


class MirostatTwo(Mirostat):
    """Version 2 keeps the tokens whose own surprise is within the limit."""

    def kept(self, candidates: Candidates) -> Candidates:
        return candidates.at_least(candidates.log_total - self._limit * math.log(2))

"""From a request's wishes and a model's recommendation to one sampler per candidate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import SystemRandom

from services.common.chat import Sampling
from services.common.errors import SwarmError, invalid
from services.inference_worker.backends.base import SamplerSpec

# Candidates behind the leader are drawn at least this warm, or they would be copies of it.
_CANDIDATE_TEMPERATURE = 0.6
# One less than fits 32 bits: the highest number asks llama.cpp to draw a seed at random.
_SEEDS = 0xFFFF_FFFF
_MAX_STOPS = 16

_random = SystemRandom()


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What the model's file recommends; the defaults where it says nothing."""

    temperature: float = 0.7
    top_p: float = 0.95
    top_k: int = 40
    min_p: float = 0.05

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, object]) -> Recommendation:
        """Reads general.sampling.{temp,top_p,top_k,min_p}; values of a wrong type or range do not count."""

        def number(key: str, default: float, low: float, high: float) -> float:
            value = metadata.get(f"general.sampling.{key}")
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                return default
            return float(value)

        default = cls()
        return cls(
            temperature=number("temp", default.temperature, 0.0, 10.0),
            top_p=number("top_p", default.top_p, 0.0, 1.0),
            top_k=int(number("top_k", default.top_k, 0, 1 << 20)),
            min_p=number("min_p", default.min_p, 0.0, 1.0),
        )


def check(sampling: Sampling) -> None:
    """Raises SwarmError INVALID_FIELD naming the first field that is out of its range."""
    _between("temperature", sampling.temperature, 0.0, 2.0)
    _between("top_p", sampling.top_p, 0.0, 1.0)
    _between("min_p", sampling.min_p, 0.0, 1.0)
    _between("frequency_penalty", sampling.frequency_penalty, -2.0, 2.0)
    _between("presence_penalty", sampling.presence_penalty, -2.0, 2.0)
    if sampling.top_k is not None and sampling.top_k < 0:
        raise _wrong("top_k", "an integer of at least 0 (0: off)", sampling.top_k)
    if sampling.max_tokens is not None and sampling.max_tokens < 1:
        raise _wrong("max_tokens", "an integer of at least 1", sampling.max_tokens)
    if len(sampling.stop) > _MAX_STOPS:
        raise _wrong("stop", f"at most {_MAX_STOPS} strings", len(sampling.stop))
    if any(not stop for stop in sampling.stop):
        raise invalid("stop", "stop: expected strings that are not empty")


def specs(sampling: Sampling, recommendation: Recommendation, candidates: int) -> list[SamplerSpec]:
    """One spec per candidate; candidate i draws with seed + i, a missing seed is drawn at random."""
    seed = sampling.seed if sampling.seed is not None else _random.getrandbits(32)
    top_k = sampling.top_k if sampling.top_k is not None else recommendation.top_k
    top_p = sampling.top_p if sampling.top_p is not None else recommendation.top_p
    min_p = sampling.min_p if sampling.min_p is not None else recommendation.min_p

    def temperature(candidate: int) -> float:
        if sampling.temperature is not None:
            return sampling.temperature
        if candidate == 0:
            return recommendation.temperature
        return max(recommendation.temperature, _CANDIDATE_TEMPERATURE)

    return [
        SamplerSpec(
            temperature=temperature(candidate),
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            frequency_penalty=sampling.frequency_penalty or 0.0,
            presence_penalty=sampling.presence_penalty or 0.0,
            seed=(seed + candidate) % _SEEDS,
        )
        for candidate in range(candidates)
    ]


def _between(name: str, value: float | None, low: float, high: float) -> None:
    # `not (…)` also catches NaN, which no comparison holds for.
    if value is not None and not low <= value <= high:
        raise _wrong(name, f"a number from {low:g} to {high:g}", value)


def _wrong(name: str, expected: str, got: object) -> SwarmError:
    return invalid(name, f"{name}: expected {expected}, got {got}")

"""From a request's wishes and a model's recommendation to one sampler per candidate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import SystemRandom
from typing import TypeVar

from services.common.chat import Sampling
from services.common.errors import SwarmError, invalid
from services.inference_worker.backends.base import SamplerSpec

# Candidates behind the leader are drawn at least this warm, or they would be copies of it.
_CANDIDATE_TEMPERATURE = 0.6
# One less than fits 32 bits: the highest number asks llama.cpp to draw a seed at random.
_SEEDS = 0xFFFF_FFFF
_MAX_STOPS = 16
_MOST_BIASES = 10_000
# OpenAI's bounds.
_BIAS = 100.0
_MOST_TOP_LOGPROBS = 20
# The texts at which llama.cpp's DRY begins anew, and the bytes of one that it looks at.
_BREAKERS = ("\n", ":", '"', "*")
_MOST_BREAKERS = 32
_LONGEST_BREAKER = 40
_INT32 = 2**31 - 1

_random = SystemRandom()

_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What the model's file recommends; the defaults where it says nothing."""

    temperature: float = 0.7
    top_p: float = 0.95
    top_k: int = 40
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    repeat_last_n: int = 64
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, object]) -> Recommendation:
        """Reads general.sampling.*, as llama.cpp names them; values of a wrong type or range do not count."""

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
            repeat_penalty=number("penalty_repeat", default.repeat_penalty, 0.01, 100.0),
            repeat_last_n=int(number("penalty_last_n", default.repeat_last_n, -1, _INT32)),
            xtc_probability=number("xtc_probability", default.xtc_probability, 0.0, 1.0),
            xtc_threshold=number("xtc_threshold", default.xtc_threshold, 0.0, 1.0),
        )


def check(sampling: Sampling, vocabulary: int) -> None:
    """Raises SwarmError INVALID_FIELD naming the first field that is out of its range.

    `vocabulary`: how many tokens the model has.
    """
    for name, low, high in _NUMBERS:
        value: float | None = getattr(sampling, name)
        # `not (…)` also catches NaN, which no comparison holds for.
        if value is not None and not low <= value <= high:
            raise _wrong(name, f"a number from {low:g} to {high:g}", value)
    for name, least, most in _INTEGERS:
        whole: int | None = getattr(sampling, name)
        if whole is not None and not least <= whole <= most:
            raise _wrong(name, f"an integer from {least} to {most}", whole)
    if len(sampling.stop) > _MAX_STOPS:
        raise _wrong("stop", f"at most {_MAX_STOPS} strings", len(sampling.stop))
    if any(not stop for stop in sampling.stop):
        raise invalid("stop", "stop: expected strings that are not empty")
    _check_breakers(sampling.dry_sequence_breakers)
    _check_bias(sampling.logit_bias, vocabulary)
    if sampling.mirostat and sampling.xtc_probability:
        raise invalid(
            "xtc_probability", "xtc_probability: expected 0 beside mirostat, which does the whole choice"
        )


def specs(sampling: Sampling, recommendation: Recommendation, candidates: int) -> list[SamplerSpec]:
    """One spec per candidate; candidate i draws with seed + i, a missing seed is drawn at random."""
    seed = sampling.seed if sampling.seed is not None else _random.getrandbits(32)
    leader = SamplerSpec(
        temperature=_or(sampling.temperature, recommendation.temperature),
        top_k=_or(sampling.top_k, recommendation.top_k),
        top_p=_or(sampling.top_p, recommendation.top_p),
        min_p=_or(sampling.min_p, recommendation.min_p),
        frequency_penalty=sampling.frequency_penalty or 0.0,
        presence_penalty=sampling.presence_penalty or 0.0,
        typical_p=_or(sampling.typical_p, 1.0),
        repeat_penalty=_or(sampling.repeat_penalty, recommendation.repeat_penalty),
        repeat_last_n=_or(sampling.repeat_last_n, recommendation.repeat_last_n),
        dry_multiplier=sampling.dry_multiplier or 0.0,
        dry_base=_or(sampling.dry_base, 1.75),
        dry_allowed_length=_or(sampling.dry_allowed_length, 2),
        dry_penalty_last_n=_or(sampling.dry_penalty_last_n, -1),
        dry_sequence_breakers=sampling.dry_sequence_breakers or _BREAKERS,
        xtc_probability=_or(sampling.xtc_probability, recommendation.xtc_probability),
        xtc_threshold=_or(sampling.xtc_threshold, recommendation.xtc_threshold),
        mirostat=sampling.mirostat or 0,
        mirostat_tau=_or(sampling.mirostat_tau, 5.0),
        mirostat_eta=_or(sampling.mirostat_eta, 0.1),
        logit_bias=sampling.logit_bias,
        top_logprobs=sampling.top_logprobs,
    )
    others = leader
    if sampling.temperature is None:
        others = replace(leader, temperature=max(leader.temperature, _CANDIDATE_TEMPERATURE))
    return [
        replace(others if candidate else leader, seed=(seed + candidate) % _SEEDS)
        for candidate in range(candidates)
    ]


_NUMBERS = (
    ("temperature", 0.0, 2.0),
    ("top_p", 0.0, 1.0),
    ("min_p", 0.0, 1.0),
    ("typical_p", 0.0, 1.0),
    ("frequency_penalty", -2.0, 2.0),
    ("presence_penalty", -2.0, 2.0),
    ("repeat_penalty", 0.01, 100.0),
    ("dry_multiplier", 0.0, 100.0),
    ("dry_base", 1.0, 100.0),
    ("xtc_probability", 0.0, 1.0),
    ("xtc_threshold", 0.0, 1.0),
    ("mirostat_tau", 0.0, 100.0),
    ("mirostat_eta", 0.0, 1.0),
)
_INTEGERS = (
    ("top_k", 0, _INT32),
    ("repeat_last_n", -1, _INT32),
    ("dry_allowed_length", 0, _INT32),
    ("dry_penalty_last_n", -1, _INT32),
    ("mirostat", 0, 2),
    ("max_tokens", 1, _INT32),
    ("top_logprobs", 0, _MOST_TOP_LOGPROBS),
)


def _check_breakers(breakers: Sequence[str]) -> None:
    if len(breakers) > _MOST_BREAKERS:
        raise _wrong("dry_sequence_breakers", f"at most {_MOST_BREAKERS} strings", len(breakers))
    for breaker in breakers:
        if not 1 <= len(breaker.encode()) <= _LONGEST_BREAKER:
            expected = f"strings of 1 to {_LONGEST_BREAKER} bytes"
            raise _wrong("dry_sequence_breakers", expected, f"{len(breaker.encode())} bytes")


def _check_bias(biases: Sequence[tuple[int, float]], vocabulary: int) -> None:
    if len(biases) > _MOST_BIASES:
        raise _wrong("logit_bias", f"at most {_MOST_BIASES} tokens", len(biases))
    if len({token for token, _ in biases}) < len(biases):
        raise invalid("logit_bias", "logit_bias: expected each token once")
    for token, bias in biases:
        if not 0 <= token < vocabulary:
            expected = f"token ids of this model, from 0 to {vocabulary - 1}"
            raise _wrong("logit_bias", expected, token)
        if not -_BIAS <= bias <= _BIAS:
            raise _wrong("logit_bias", f"numbers from {-_BIAS:g} to {_BIAS:g}", f"{bias} for token {token}")


def _or(wish: _Number | None, otherwise: _Number) -> _Number:
    return otherwise if wish is None else wish


def _wrong(name: str, expected: str, got: object) -> SwarmError:
    return invalid(name, f"{name}: expected {expected}, got {got}")

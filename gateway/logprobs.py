"""Log-probabilities as OpenAI tells them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from swarm.inference.v1 import inference_pb2

# What OpenAI says of a token with next to no probability: JSON has no infinities.
_LEAST = -9999.0


def logprob_objects(tokens: Iterable[inference_pb2.TokenLogprob]) -> list[dict[str, Any]]:
    """The elements of `logprobs.content`. `bytes` is the truth where a token is a part of a character."""
    return [_object(each) | {"top_logprobs": [_object(other) for other in each.top]} for each in tokens]


def logprobs_object(content: list[dict[str, Any]]) -> dict[str, Any] | None:
    """A choice's `logprobs`: null when there is none to tell."""
    return {"content": content, "refusal": None} if content else None


def _object(told: inference_pb2.TokenLogprob) -> dict[str, Any]:
    return {
        "token": told.token.decode("utf-8", "replace"),
        "logprob": told.logprob if told.logprob > _LEAST else _LEAST,
        "bytes": list(told.token),
    }

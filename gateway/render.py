"""What an answer's chunks and its whole body have in common: identity, usage, ballots. Pure."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from gateway.events import AnswerReader
from swarm.consensus.v1 import consensus_pb2 as pb
from swarm.inference.v1 import inference_pb2


@dataclass(frozen=True, slots=True)
class Identity:
    """`id` and `created` (Unix seconds), the same in all chunks of an answer."""

    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(16)}")
    created: int = field(default_factory=lambda: int(time.time()))


def usage_object(usage: inference_pb2.Usage) -> dict[str, Any]:
    """OpenAI's usage; completion tokens are those of all choices together."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def swarm_object(reader: AnswerReader) -> dict[str, Any]:
    """The extension key `swarm`: who answered, and how it was decided if there was a vote."""
    about: dict[str, Any] = {"worker": reader.accepted.worker if reader.accepted else ""}
    if (ballots := reader.ballots) is not None:
        about |= {
            "strategy": ballots.strategy,
            "quorum": ballots.quorum,
            "decided": ballots.decided,
            "round": ballots.round,
            "early_stop": ballots.early_stop,
            "candidates": ballots.candidates,
            "clusters": ballots.clusters,
            "agreement": _number(ballots.agreement),
            "confidence": _number(ballots.confidence),
            "lost_workers": list(ballots.lost_workers),
            "generated_tokens": ballots.generated_tokens,
            "ballots": [_ballot(ballot) for ballot in ballots.ballots],
        }
        if ballots.HasField("call_checks"):
            about["tool_calls"] = _call_checks(ballots.call_checks)
    return about


def swarm_headers(reader: AnswerReader) -> dict[str, str]:
    """The same in short, for an answer whose headers wait for its end."""
    if (ballots := reader.ballots) is None:
        return {}
    headers = {
        "x-swarm-strategy": ballots.strategy,
        "x-swarm-decided": str(ballots.decided).lower(),
        "x-swarm-candidates": str(ballots.candidates),
        "x-swarm-clusters": str(ballots.clusters),
        "x-swarm-agreement": f"{ballots.agreement:.3f}",
        "x-swarm-confidence": f"{ballots.confidence:.3f}",
        "x-swarm-lost-workers": str(len(ballots.lost_workers)),
        "x-swarm-generated-tokens": str(ballots.generated_tokens),
    }
    if ballots.HasField("call_checks"):
        headers["x-swarm-tool-calls"] = "invalid" if ballots.call_checks.invalid else "retried"
    return headers


def _call_checks(checks: pb.CallChecks) -> dict[str, Any]:
    return {
        "retried": checks.retried,
        "invalid": [
            {
                "choice": call.choice,
                "index": call.index,
                "id": call.id,
                "name": call.name,
                "problem": call.problem,
            }
            for call in checks.invalid
        ],
    }


def _ballot(ballot: pb.Ballot) -> dict[str, Any]:
    return {
        "worker": ballot.worker,
        "candidate": ballot.candidate,
        "key": ballot.key,
        "summary": ballot.summary,
        "weight": _number(ballot.weight),
        "mean_logprob": _number(ballot.mean_logprob),
        "won": ballot.won,
        "kind": ballot.kind,
        "tokens": ballot.tokens,
    }


def _number(value: float) -> float | None:
    """JSON has no infinities: a probability of zero is told as null."""
    return value if value - value == 0 else None

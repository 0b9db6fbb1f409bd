"""Every error the swarm tells of, and the one table that says how each edge spells it.

Domain code raises `SwarmError`. `grpc_errors.py` carries it over RPC (status + ErrorInfo), the gateway
turns it into OpenAI's error body. Both read `TABLE`; nothing else decides on codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Reason(StrEnum):
    """Why something was refused or failed; the `reason` of gRPC's ErrorInfo."""

    INVALID_FIELD = "INVALID_FIELD"
    UNSUPPORTED_PARAMETER = "UNSUPPORTED_PARAMETER"
    CONTEXT_LENGTH_EXCEEDED = "CONTEXT_LENGTH_EXCEEDED"
    MODEL_NOT_FOUND = "MODEL_NOT_FOUND"
    NOT_FOUND = "NOT_FOUND"
    QUEUE_FULL = "QUEUE_FULL"
    NO_WORKER = "NO_WORKER"
    WORKER_LOST = "WORKER_LOST"
    TOOL_SERVER_UNAVAILABLE = "TOOL_SERVER_UNAVAILABLE"
    UNAVAILABLE = "UNAVAILABLE"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    CANCELLED = "CANCELLED"
    PATH_OUTSIDE_ROOT = "PATH_OUTSIDE_ROOT"
    SANDBOX_UNAVAILABLE = "SANDBOX_UNAVAILABLE"
    TOOL_NOT_FOUND = "TOOL_NOT_FOUND"
    TOOL_FAILED = "TOOL_FAILED"
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
    JOURNAL_UNAVAILABLE = "JOURNAL_UNAVAILABLE"
    MODEL_FILE_INVALID = "MODEL_FILE_INVALID"
    MODEL_TOO_LARGE = "MODEL_TOO_LARGE"
    TEMPLATE_FAILED = "TEMPLATE_FAILED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    INTERNAL = "INTERNAL"


@dataclass(frozen=True, slots=True)
class Spelling:
    """How one reason looks at the edges. `grpc` is the name of a grpc.StatusCode."""

    grpc: str
    http: int
    openai_type: str
    openai_code: str | None


TABLE: Mapping[Reason, Spelling] = {
    Reason.INVALID_FIELD: Spelling("INVALID_ARGUMENT", 400, "invalid_request_error", "invalid_value"),
    Reason.UNSUPPORTED_PARAMETER: Spelling(
        "INVALID_ARGUMENT", 400, "invalid_request_error", "unsupported_parameter"
    ),
    Reason.CONTEXT_LENGTH_EXCEEDED: Spelling(
        "INVALID_ARGUMENT", 400, "invalid_request_error", "context_length_exceeded"
    ),
    Reason.MODEL_NOT_FOUND: Spelling("NOT_FOUND", 404, "invalid_request_error", "model_not_found"),
    Reason.NOT_FOUND: Spelling("NOT_FOUND", 404, "invalid_request_error", "not_found"),
    Reason.QUEUE_FULL: Spelling("RESOURCE_EXHAUSTED", 429, "rate_limit_error", "queue_full"),
    Reason.NO_WORKER: Spelling("UNAVAILABLE", 503, "server_error", "no_worker"),
    Reason.WORKER_LOST: Spelling("UNAVAILABLE", 503, "server_error", "worker_lost"),
    Reason.TOOL_SERVER_UNAVAILABLE: Spelling("UNAVAILABLE", 503, "server_error", "tool_server_unavailable"),
    Reason.UNAVAILABLE: Spelling("UNAVAILABLE", 503, "server_error", "unavailable"),
    Reason.DEADLINE_EXCEEDED: Spelling("DEADLINE_EXCEEDED", 504, "server_error", "timeout"),
    Reason.CANCELLED: Spelling("CANCELLED", 499, "server_error", "cancelled"),
    Reason.PATH_OUTSIDE_ROOT: Spelling(
        "PERMISSION_DENIED", 403, "invalid_request_error", "path_outside_root"
    ),
    Reason.SANDBOX_UNAVAILABLE: Spelling("FAILED_PRECONDITION", 503, "server_error", "sandbox_unavailable"),
    Reason.TOOL_NOT_FOUND: Spelling("NOT_FOUND", 404, "invalid_request_error", "tool_not_found"),
    Reason.TOOL_FAILED: Spelling("ABORTED", 500, "server_error", "tool_failed"),
    Reason.OUTCOME_UNKNOWN: Spelling("ABORTED", 500, "server_error", "outcome_unknown"),
    Reason.JOURNAL_UNAVAILABLE: Spelling("FAILED_PRECONDITION", 503, "server_error", "journal_unavailable"),
    Reason.MODEL_FILE_INVALID: Spelling("FAILED_PRECONDITION", 500, "server_error", "model_file_invalid"),
    Reason.MODEL_TOO_LARGE: Spelling("FAILED_PRECONDITION", 500, "server_error", "model_too_large"),
    Reason.TEMPLATE_FAILED: Spelling("INVALID_ARGUMENT", 400, "invalid_request_error", "template_failed"),
    Reason.PERMISSION_DENIED: Spelling("PERMISSION_DENIED", 403, "invalid_request_error", "forbidden"),
    Reason.INTERNAL: Spelling("INTERNAL", 500, "server_error", "internal_error"),
}


@dataclass(slots=True)
class SwarmError(Exception):
    """A typed error.

    `message` is one or two sentences for the user: what was found, what was expected, what to do.
    `param` names the offending field in the client's words (`messages[2].role`), if it is a field.
    `retry_after` is in seconds. `details` are short strings that travel with the error.
    """

    reason: Reason
    message: str
    param: str | None = None
    retry_after: float | None = None
    details: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.message

    @property
    def spelling(self) -> Spelling:
        return TABLE[self.reason]


def invalid(param: str, message: str) -> SwarmError:
    """A field of the request is wrong: `message` says what was expected."""
    return SwarmError(Reason.INVALID_FIELD, message, param=param)


def unsupported(param: str, message: str) -> SwarmError:
    """A known parameter that cannot be honoured here; never ignored in silence."""
    return SwarmError(Reason.UNSUPPORTED_PARAMETER, message, param=param)


def context_length_exceeded(prompt_tokens: int, context_length: int, wanted: int = 0) -> SwarmError:
    """The prompt (plus `wanted` tokens to generate, if asked for) does not fit the model's window."""
    asked = f"{prompt_tokens} in the messages" + (f", {wanted} in the completion" if wanted else "")
    return SwarmError(
        Reason.CONTEXT_LENGTH_EXCEEDED,
        f"This model's maximum context length is {context_length} tokens. However, you requested "
        f"{prompt_tokens + wanted} tokens ({asked}). "
        "Please reduce the length of the messages or the completion.",
        param="messages",
        details={"prompt_tokens": str(prompt_tokens), "context_length": str(context_length)},
    )

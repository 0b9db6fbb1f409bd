"""The table is whole, and an error crosses the wire without loss."""

from __future__ import annotations

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata

from services.common.errors import TABLE, Reason, SwarmError, context_length_exceeded
from services.common.grpc_errors import from_rpc_error, to_status


def test_every_reason_is_spelled_for_every_edge() -> None:
    assert set(TABLE) == set(Reason)
    for spelling in TABLE.values():
        assert spelling.grpc in grpc.StatusCode.__members__
        assert 400 <= spelling.http < 600


@pytest.mark.parametrize("reason", list(Reason))
def test_an_error_crosses_the_wire(reason: Reason) -> None:
    sent = SwarmError(reason, "what was wrong: “x”", "messages[0].role", 1.5, {"limit": "3"})
    status = to_status(sent)
    received = from_rpc_error(
        AioRpcError(status.code, Metadata(), Metadata(*status.trailing_metadata), details=status.details)
    )
    assert received == sent


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.UNAVAILABLE, Reason.UNAVAILABLE),
        (grpc.StatusCode.DEADLINE_EXCEEDED, Reason.DEADLINE_EXCEEDED),
        (grpc.StatusCode.CANCELLED, Reason.CANCELLED),
        (grpc.StatusCode.UNKNOWN, Reason.INTERNAL),
    ],
)
def test_a_status_of_another_make_gets_the_nearest_reason(code: grpc.StatusCode, reason: Reason) -> None:
    error = from_rpc_error(AioRpcError(code, Metadata(), Metadata(), details="gone"))
    assert (error.reason, error.message) == (reason, "gone")


def test_too_long_a_prompt_reads_as_clients_expect() -> None:
    error = context_length_exceeded(prompt_tokens=9000, context_length=8192)
    assert "maximum context length is 8192 tokens" in error.message
    assert error.spelling.openai_code == "context_length_exceeded"
    assert error.spelling.http == 400

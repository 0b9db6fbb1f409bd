"""The only place where a gRPC channel is made."""

from __future__ import annotations

from typing import Any

import grpc

from services.common.interceptors import StreamRequestId, UnaryRequestId

# The default of 4 MiB is less than one long agent conversation.
MESSAGE_CAP = 64 * 1024 * 1024

KEEPALIVE_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", MESSAGE_CAP),
    ("grpc.max_send_message_length", MESSAGE_CAP),
)


def open_channel(address: str) -> grpc.aio.Channel:
    """A channel to `address` (host:port). Call it inside the running loop; close it when done.

    Calls fail at once with UNAVAILABLE while nobody listens there (reconnecting goes on behind), and
    are never retried by gRPC: who retries, decides so knowingly.
    """
    return grpc.aio.insecure_channel(
        address,
        options=(
            *KEEPALIVE_OPTIONS,
            ("grpc.enable_retries", 0),
            # http_proxy in the environment is for the world outside; a member is reached directly.
            ("grpc.enable_http_proxy", 0),
            # A member that comes back is found within a second, not after gRPC's two minutes.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1_000),
            ("grpc.use_local_subchannel_pool", 1),
        ),
        interceptors=[UnaryRequestId(), StreamRequestId()],
    )


def deadline(limit: float, context: grpc.aio.ServicerContext[Any, Any] | None = None) -> float:
    """Seconds for `timeout=` of an RPC: `limit`, or what remains of the incoming call if that is less."""
    remaining = None if context is None else context.time_remaining()
    return limit if remaining is None else max(0.0, min(limit, remaining))

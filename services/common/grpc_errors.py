"""SwarmError over gRPC: a status code, the message, and google.rpc.ErrorInfo with reason and details.

The table is in `errors.py`; the rich status travels as `grpc-status-details-bin` (google.rpc.Status).
"""

from __future__ import annotations

from dataclasses import dataclass

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from services.common.errors import Reason, SwarmError

DOMAIN = "local-swarm"
STATUS_DETAILS = "grpc-status-details-bin"
# Bytes. gRPC drops trailers from 8 KiB on, and the reason with them; the message travels twice in them,
# once with three bytes for one.
LONGEST_TEXT = 1000
# Names under which the fields of SwarmError travel in ErrorInfo.metadata.
_PARAM = "param"
_RETRY_AFTER = "retry_after"

_WITHOUT_INFO = {
    grpc.StatusCode.UNAVAILABLE: Reason.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: Reason.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED: Reason.CANCELLED,
}


@dataclass(frozen=True, slots=True)
class RpcStatus:
    """What `ServicerContext.abort` takes."""

    code: grpc.StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, bytes], ...]


def to_status(error: SwarmError) -> RpcStatus:
    """The status that carries `error`; `from_rpc_error` reads it back. Overlong texts are cut."""
    metadata = {key: _cut(value) for key, value in error.details.items()}
    if error.param is not None:
        metadata[_PARAM] = _cut(error.param)
    if error.retry_after is not None:
        metadata[_RETRY_AFTER] = repr(error.retry_after)
    code = grpc.StatusCode[error.spelling.grpc]
    info = any_pb2.Any()
    info.Pack(error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata))
    message = _cut(error.message)
    status = status_pb2.Status(code=code.value[0], message=message, details=[info])
    return RpcStatus(code, message, ((STATUS_DETAILS, status.SerializeToString()),))


def _cut(text: str) -> str:
    data = text.encode(errors="replace")
    return text if len(data) <= LONGEST_TEXT else data[:LONGEST_TEXT].decode(errors="ignore") + "…"


def from_rpc_error(error: grpc.aio.AioRpcError) -> SwarmError:
    """The SwarmError that the other side raised, or the nearest one for a status without ErrorInfo."""
    for key, value in error.trailing_metadata() or ():
        if key != STATUS_DETAILS or not isinstance(value, bytes):
            continue
        status = status_pb2.Status.FromString(value)
        for detail in status.details:
            info = error_details_pb2.ErrorInfo()
            if not detail.Unpack(info) or info.domain != DOMAIN or info.reason not in Reason.__members__:
                continue
            metadata = dict(info.metadata)
            param = metadata.pop(_PARAM, None)
            retry_after = metadata.pop(_RETRY_AFTER, None)
            return SwarmError(
                Reason(info.reason),
                status.message,
                param=param,
                retry_after=None if retry_after is None else float(retry_after),
                details=metadata,
            )
    reason = _WITHOUT_INFO.get(error.code(), Reason.INTERNAL)
    return SwarmError(reason, error.details() or f"the call ended with {error.code().name}")

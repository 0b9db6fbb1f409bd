"""What happens around every RPC: the request's id travels on, errors become typed statuses, one log line."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn

import grpc
import structlog
from grpc.aio import ClientCallDetails, Metadata, ServicerContext

from services.common.errors import Reason, SwarmError
from services.common.grpc_errors import to_status
from services.common.logging import REQUEST_ID_METADATA, new_request_id, request_id

_QUIET = ("/grpc.health.v1.Health/", "/grpc.reflection.")

log = structlog.get_logger()


class ServerEdge(grpc.aio.ServerInterceptor):
    """Sets the request id, maps SwarmError to its status and anything else to INTERNAL, and logs the call."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(_QUIET):
            return handler
        given = dict(handler_call_details.invocation_metadata or ()).get(REQUEST_ID_METADATA)
        current = given if isinstance(given, str) and given else new_request_id()
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(
                _stream(handler.unary_stream, method, current),
                handler.request_deserializer,
                handler.response_serializer,
            )
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(
                _unary(handler.unary_unary, method, current),
                handler.request_deserializer,
                handler.response_serializer,
            )
        return handler


def _unary(behaviour: Any, method: str, current: str) -> Any:
    async def call(request: Any, context: ServicerContext[Any, Any]) -> Any:
        request_id.set(current)
        started = time.monotonic()
        try:
            response = await behaviour(request, context)
        except BaseException as error:
            await _fail(error, context, method, started)
        log.debug("rpc", method=method, code="OK", seconds=_since(started))
        return response

    return call


def _stream(behaviour: Any, method: str, current: str) -> Any:
    async def call(request: Any, context: ServicerContext[Any, Any]) -> AsyncIterator[Any]:
        request_id.set(current)
        started = time.monotonic()
        responses = behaviour(request, context)
        try:
            async for response in responses:
                yield response
        except BaseException as error:
            await _fail(error, context, method, started)
        finally:
            # A cancelled call leaves the generator suspended; its `finally` blocks must run now, not at
            # garbage collection, because they are what frees slots.
            await responses.aclose()
        log.info("rpc", method=method, code="OK", seconds=_since(started))

    return call


async def _fail(
    error: BaseException, context: ServicerContext[Any, Any], method: str, started: float
) -> NoReturn:
    if isinstance(error, SwarmError):
        status = to_status(error)
        log.info(
            "rpc",
            method=method,
            code=status.code.name,
            reason=error.reason,
            detail=error.message,
            seconds=_since(started),
        )
        await context.abort(status.code, status.details, status.trailing_metadata)
    if isinstance(error, Exception) and not isinstance(error, grpc.aio.AbortError):
        log.error("rpc", method=method, code="INTERNAL", seconds=_since(started), exc_info=error)
        status = to_status(SwarmError(Reason.INTERNAL, "internal error; the service's log has the details"))
        await context.abort(status.code, status.details, status.trailing_metadata)
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        log.info("rpc", method=method, code="CANCELLED", seconds=_since(started))
    raise error


def _since(started: float) -> float:
    return round(time.monotonic() - started, 4)


def _with_request_id(details: ClientCallDetails) -> ClientCallDetails:
    metadata = Metadata(*(details.metadata or ()))
    if (current := request_id.get()) and metadata.get(REQUEST_ID_METADATA) is None:
        metadata.add(REQUEST_ID_METADATA, current)
    return ClientCallDetails(
        method=details.method,
        timeout=details.timeout,
        metadata=metadata,
        credentials=details.credentials,
        wait_for_ready=details.wait_for_ready,
    )


class UnaryRequestId(grpc.aio.UnaryUnaryClientInterceptor):
    """Sends the current request's id along."""

    async def intercept_unary_unary(
        self, continuation: Any, client_call_details: ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(_with_request_id(client_call_details), request)


class StreamRequestId(grpc.aio.UnaryStreamClientInterceptor):
    """Sends the current request's id along."""

    async def intercept_unary_stream(
        self, continuation: Any, client_call_details: ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(_with_request_id(client_call_details), request)

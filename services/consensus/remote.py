"""A worker and a tool server behind their ports: one channel each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common.channel import open_channel
from services.common.chat import ChatEvent, ChatRequest, ModelInfo, Tool, ToolCall
from services.common.chat_proto import (
    call_to_proto,
    event_from_proto,
    model_from_proto,
    request_to_proto,
    tool_from_proto,
)
from services.common.errors import Reason, SwarmError
from services.common.grpc_errors import from_rpc_error
from services.consensus.ports import ToolOutcome
from swarm.discovery.v1 import discovery_pb2
from swarm.inference.v1 import inference_pb2, inference_pb2_grpc
from swarm.tools.v1 import tools_pb2, tools_pb2_grpc

_INFERENCE = "swarm.inference.v1.InferenceService"
_TOOLS = "swarm.tools.v1.ToolService"
# Longest wait for one health check, and the pause before the next, in seconds.
_CHECK = 5.0
_CHECK_PAUSE = 0.1
# How a stream ends whose server goes away.
_GOING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)

log = structlog.get_logger()


class RemoteWorker:
    """A member of kind WORKER. Make it inside the running loop.

    It is `usable` until it refuses a connection, and again once its health says SERVING.
    """

    def __init__(self, member: discovery_pb2.Member, changed: Callable[[], None]) -> None:
        """`changed` is called whenever `usable` has changed."""
        self._changed = changed
        self._channel = open_channel(member.address)
        self._stub = inference_pb2_grpc.InferenceServiceStub(self._channel)
        self._health: Any = health_pb2_grpc.HealthStub(self._channel)
        self._recovery: asyncio.Task[None] | None = None
        self._retired = asyncio.Event()
        self.usable = True
        self.in_flight = 0
        self.address = member.address
        self.update(member)

    def update(self, member: discovery_pb2.Member) -> None:
        """Takes over what discovery says now; the address must be the same."""
        self.id = member.id
        self.name = member.name or member.id
        self.slots = max(1, member.slots)
        self.models: Sequence[ModelInfo] = tuple(model_from_proto(model) for model in member.models)

    async def chat(self, request: ChatRequest, timeout: float) -> AsyncGenerator[ChatEvent, None]:
        self.in_flight += request.candidates
        call = self._stub.Chat(request_to_proto(request), timeout=timeout)
        try:
            async for message in call:
                yield self._read(message)
        except grpc.aio.AioRpcError as rpc_error:
            raise self._failed(from_rpc_error(rpc_error)) from rpc_error
        except asyncio.CancelledError as cancelled:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # gRPC cancels a call like this when its channel is closed under it.
            raise SwarmError(Reason.UNAVAILABLE, f"the connection to {self.name} was closed") from cancelled
        finally:
            call.cancel()
            self.in_flight -= request.candidates
            if self._retired.is_set() and self.in_flight == 0:
                await self._channel.close()

    async def status(self, timeout: float) -> inference_pb2.GetStatusResponse:
        """Raises SwarmError."""
        try:
            return await self._stub.GetStatus(inference_pb2.GetStatusRequest(), timeout=timeout)
        except grpc.aio.AioRpcError as rpc_error:
            raise from_rpc_error(rpc_error) from rpc_error

    async def retire(self) -> None:
        """No longer wanted: the channel is closed as soon as nothing runs on it."""
        self._retired.set()
        if self._recovery is not None:
            self._recovery.cancel()
            await asyncio.gather(self._recovery, return_exceptions=True)
        if self.in_flight == 0:
            await self._channel.close()

    def _read(self, message: inference_pb2.ChatEvent) -> ChatEvent:
        try:
            return event_from_proto(message)
        except SwarmError as error:
            # The worker's fault, not the client's.
            raise SwarmError(
                Reason.WORKER_LOST, f"Worker {self.name} broke its contract: {error.message}"
            ) from error

    def _failed(self, error: SwarmError) -> SwarmError:
        if error.reason is not Reason.UNAVAILABLE:
            return error
        if self.usable and not self._retired.is_set():
            log.warning("worker is away", worker=self.name, address=self.address, detail=error.message)
            self.usable = False
            self._recovery = asyncio.create_task(self._recover(), name=f"recovery of {self.name}")
            self._changed()
        text = f"Worker {self.name} at {self.address} does not answer: {error.message}"
        return SwarmError(Reason.UNAVAILABLE, text, retry_after=2.0)

    async def _recover(self) -> None:
        while not await self._serving():
            try:
                async with asyncio.timeout(_CHECK_PAUSE):
                    await self._retired.wait()
            except TimeoutError:
                continue
            return
        log.info("worker is back", worker=self.name, address=self.address)
        self.usable = True
        self._changed()

    async def _serving(self) -> bool:
        request = health_pb2.HealthCheckRequest(service=_INFERENCE)
        try:
            answer = await self._health.Check(request, timeout=_CHECK, wait_for_ready=True)
        except grpc.aio.AioRpcError as rpc_error:
            # One that has no health service at all, yet answers, is there.
            return rpc_error.code() is grpc.StatusCode.UNIMPLEMENTED
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


class RemoteToolServer:
    """A member of kind TOOL_SERVER. Make it inside the running loop."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._channel = open_channel(address)
        self._stub = tools_pb2_grpc.ToolServiceStub(self._channel)
        self._health: Any = health_pb2_grpc.HealthStub(self._channel)
        self._users = 0
        self._unused = asyncio.Event()
        self._unused.set()

    @asynccontextmanager
    async def in_use(self) -> AsyncGenerator[None, None]:
        self._users += 1
        self._unused.clear()
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                self._unused.set()

    async def tools(self, timeout: float) -> Sequence[Tool]:
        try:
            answer = await self._stub.ListTools(tools_pb2.ListToolsRequest(), timeout=timeout)
        except grpc.aio.AioRpcError as rpc_error:
            raise self._error(rpc_error) from rpc_error
        return tuple(tool_from_proto(tool) for tool in answer.tools)

    async def execute(self, session_id: str, call: ToolCall, timeout: float, key: str = "") -> ToolOutcome:
        request = tools_pb2.ExecuteRequest(
            session_id=session_id, call=call_to_proto(call), idempotency_key=key
        )
        running = self._stub.Execute(request, timeout=timeout)
        try:
            async for event in running:
                if event.WhichOneof("event") == "result":
                    return ToolOutcome(event.result.content, event.result.is_error)
        except grpc.aio.AioRpcError as rpc_error:
            raise self._error(rpc_error) from rpc_error
        finally:
            running.cancel()
        raise SwarmError(
            Reason.TOOL_SERVER_UNAVAILABLE,
            f"The tool server at {self.address} ended {call.name} without a result.",
            retry_after=2.0,
        )

    async def back(self, timeout: float) -> bool:
        loop = asyncio.get_running_loop()
        request = health_pb2.HealthCheckRequest(service=_TOOLS)
        until = loop.time() + timeout
        while (left := until - loop.time()) > 0:
            watch = self._health.Watch(request, timeout=left, wait_for_ready=True)
            try:
                async for answer in watch:
                    if answer.status == health_pb2.HealthCheckResponse.SERVING:
                        return True
            except grpc.aio.AioRpcError as rpc_error:
                if rpc_error.code() not in _GOING:
                    # Without a health service, say: it answers, and the next call shows what it can do.
                    return rpc_error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED
            finally:
                watch.cancel()
        return False

    async def close(self) -> None:
        """Waits until nobody uses it."""
        await self._unused.wait()
        await self._channel.close()

    def _error(self, rpc_error: grpc.aio.AioRpcError) -> SwarmError:
        error = from_rpc_error(rpc_error)
        if error.reason is not Reason.UNAVAILABLE:
            return error
        return SwarmError(
            Reason.TOOL_SERVER_UNAVAILABLE,
            f"The tool server at {self.address} does not answer: {error.message}",
            retry_after=2.0,
        )

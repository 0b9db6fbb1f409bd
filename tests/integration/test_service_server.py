"""A real aio server and channel: health, reflection, typed errors, request ids, cancel and drain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from services.common.channel import open_channel
from services.common.errors import Reason, SwarmError, invalid
from services.common.grpc_errors import from_rpc_error
from services.common.logging import request_id
from services.common.server import ServiceServer
from swarm.inference.v1 import inference_pb2, inference_pb2_grpc

NAME = "swarm.inference.v1.InferenceService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Echo(inference_pb2_grpc.InferenceServiceServicer):
    """Says the request's id, or fails as the model's name tells."""

    def __init__(self) -> None:
        self.cancelled = asyncio.Event()
        self.release = asyncio.Event()

    async def Chat(
        self, request: inference_pb2.ChatRequest, context: Any
    ) -> AsyncIterator[inference_pb2.ChatEvent]:
        if request.model == "typed":
            raise invalid("messages[0].role", "expected user")
        if request.model == "long":
            raise invalid("日" * 900, "日" * 9000)
        if request.model == "bug":
            raise ZeroDivisionError
        yield inference_pb2.ChatEvent(content=inference_pb2.ContentDelta(text=request_id.get()))
        if request.model == "wait":
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
            yield inference_pb2.ChatEvent(content=inference_pb2.ContentDelta(text="end"))

    async def ListModels(
        self, request: inference_pb2.ListModelsRequest, context: Any
    ) -> inference_pb2.ListModelsResponse:
        return inference_pb2.ListModelsResponse(models=[inference_pb2.ModelInfo(id=request_id.get())])


@pytest.fixture
async def server() -> AsyncIterator[tuple[ServiceServer, Echo, grpc.aio.Channel]]:
    server, echo = ServiceServer("echo", "127.0.0.1:0", drain=5.0), Echo()
    inference_pb2_grpc.add_InferenceServiceServicer_to_server(echo, server.grpc)
    await server.start([NAME])
    async with open_channel(f"127.0.0.1:{server.port}") as channel:
        yield server, echo, channel
    await server.stop()


async def _first(channel: grpc.aio.Channel, model: str) -> str:
    stub = inference_pb2_grpc.InferenceServiceStub(channel)
    async for event in stub.Chat(inference_pb2.ChatRequest(model=model), timeout=5):
        return event.content.text
    raise AssertionError("no event")


async def test_health_follows_the_life_of_the_service(server: Any) -> None:
    service, _, channel = server
    health = health_pb2_grpc.HealthStub(channel)
    for name in ("", NAME):
        request = health_pb2.HealthCheckRequest(service=name)
        assert (await health.Check(request, timeout=5)).status == NOT_SERVING
    await service.serving()
    assert (await health.Check(health_pb2.HealthCheckRequest(service=NAME), timeout=5)).status == SERVING


async def test_reflection_lists_the_service(server: Any) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(server[2])
    call = stub.ServerReflectionInfo(
        iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=5
    )
    async for answer in call:
        names = {each.name for each in answer.list_services_response.service}
        assert {NAME, "grpc.health.v1.Health"} <= names
        break
    call.cancel()


async def test_a_typed_error_arrives_typed_and_a_bug_as_internal(server: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _first(server[2], "typed")
    assert from_rpc_error(caught.value) == invalid("messages[0].role", "expected user")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _first(server[2], "bug")
    error = from_rpc_error(caught.value)
    assert error.reason is Reason.INTERNAL
    assert "ZeroDivision" not in error.message


async def test_an_error_of_many_words_keeps_its_reason(server: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _first(server[2], "long")
    error = from_rpc_error(caught.value)
    assert error.reason is Reason.INVALID_FIELD
    assert error.message.startswith("日" * 300)


async def test_a_proxy_of_the_environment_is_not_asked(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with open_channel(f"127.0.0.1:{server[0].port}") as channel:
        assert await _first(channel, "any")


async def test_the_request_id_travels(server: Any) -> None:
    request_id.set("abc-1")
    assert await _first(server[2], "any") == "abc-1"
    stub = inference_pb2_grpc.InferenceServiceStub(server[2])
    answer = await stub.ListModels(inference_pb2.ListModelsRequest(), timeout=5)
    assert answer.models[0].id == "abc-1"


async def test_a_request_without_id_gets_one(server: Any) -> None:
    assert len(await _first(server[2], "any")) == 32


async def test_cancel_reaches_the_servicer_at_once(server: Any) -> None:
    _, echo, channel = server
    call = inference_pb2_grpc.InferenceServiceStub(channel).Chat(
        inference_pb2.ChatRequest(model="wait"), timeout=30
    )
    await anext(aiter(call))
    call.cancel()
    await asyncio.wait_for(echo.cancelled.wait(), 0.5)


async def test_a_drain_lets_calls_in_flight_end_and_takes_no_new_ones(server: Any) -> None:
    service, echo, channel = server
    stub = inference_pb2_grpc.InferenceServiceStub(channel)
    call = stub.Chat(inference_pb2.ChatRequest(model="wait"), timeout=30)
    events = aiter(call)
    await anext(events)
    stopping = asyncio.create_task(service.stop())
    await asyncio.wait_for(service.stopping.wait(), 5)
    with pytest.raises(grpc.aio.AioRpcError):
        async with open_channel(f"127.0.0.1:{service.port}") as other:
            await inference_pb2_grpc.InferenceServiceStub(other).ListModels(
                inference_pb2.ListModelsRequest(), timeout=5
            )
    echo.release.set()
    assert (await anext(events)).content.text == "end"
    await asyncio.wait_for(stopping, 5)


async def test_a_taken_port_is_named(server: Any) -> None:
    other = ServiceServer("other", f"127.0.0.1:{server[0].port}", drain=0)
    with pytest.raises(SwarmError, match=f"other cannot listen on 127.0.0.1:{server[0].port}"):
        await other.start([NAME])

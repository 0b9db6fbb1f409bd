"""ToolService: proto to domain and back."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc

from services.common.chat_proto import call_from_proto, tool_to_proto
from services.common.errors import invalid
from services.tool_server.executor import execute
from services.tool_server.outcome import Outcome
from services.tool_server.runs import Runs
from services.tool_server.sessions import Sessions
from services.tool_server.tools.registry import Registry
from swarm.tools.v1 import tools_pb2, tools_pb2_grpc

SERVICE_NAME = "swarm.tools.v1.ToolService"


class ToolServicer(tools_pb2_grpc.ToolServiceServicer):
    """`max_seconds` is the longest run of a tool, whatever a request asks for."""

    def __init__(self, registry: Registry, runs: Runs, sessions: Sessions, max_seconds: float) -> None:
        self._registry = registry
        self._runs = runs
        self._sessions = sessions
        self._max_seconds = max_seconds

    async def ListTools(
        self, request: tools_pb2.ListToolsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> tools_pb2.ListToolsResponse:
        return tools_pb2.ListToolsResponse(tools=[tool_to_proto(tool) for tool in self._registry.offered()])

    async def Execute(
        self, request: tools_pb2.ExecuteRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[tools_pb2.ExecuteEvent]:
        seconds = self._seconds(request.timeout_seconds)
        call = call_from_proto(request.call)
        session = self._sessions.open(request.session_id)
        key = request.idempotency_key
        running = (
            self._runs.execute(key, session, call, seconds)
            if key
            else execute(self._registry, session, call, seconds)
        )
        async with aclosing(running) as events:
            async for event in events:
                yield _event(event)

    def _seconds(self, wanted: float) -> float:
        if not math.isfinite(wanted) or wanted < 0:
            raise invalid("timeout_seconds", f"timeout_seconds is {wanted:g}, expected 0 or more")
        return min(wanted or self._max_seconds, self._max_seconds)


def _event(event: str | Outcome) -> tools_pb2.ExecuteEvent:
    if isinstance(event, str):
        return tools_pb2.ExecuteEvent(output=tools_pb2.ToolOutput(text=event))
    return tools_pb2.ExecuteEvent(
        result=tools_pb2.ToolResult(
            content=event.content,
            is_error=bool(event.reason),
            error_reason=event.reason,
            exit_code=event.exit_code,
            truncated=event.truncated,
            replayed=event.replayed,
        )
    )

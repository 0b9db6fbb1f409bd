"""A tool server whose tools are Python functions, on a real server."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from services.common.errors import Reason, SwarmError
from services.common.server import ServiceServer
from swarm.common.v1 import chat_pb2
from swarm.discovery.v1 import discovery_pb2
from swarm.tools.v1 import tools_pb2, tools_pb2_grpc

SERVICE = "swarm.tools.v1.ToolService"
COMMAND_SCHEMA = json.dumps(
    {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}
)


class FakeToolServer(tools_pb2_grpc.ToolServiceServicer):
    """Has one tool, bash; `run` gets the command and returns content and whether it is an error."""

    def __init__(self) -> None:
        self.run: Callable[[str], Awaitable[tuple[str, bool]]] = _echo
        self.executed: list[tools_pb2.ExecuteRequest] = []
        self.running_now = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.address = ""
        self._server: ServiceServer | None = None

    @property
    def member(self) -> discovery_pb2.Member:
        return discovery_pb2.Member(
            id="tools", name="tools", kind=discovery_pb2.MEMBER_KIND_TOOL_SERVER, address=self.address
        )

    async def ListTools(self, request: tools_pb2.ListToolsRequest, context: Any) -> Any:
        return tools_pb2.ListToolsResponse(
            tools=[chat_pb2.Tool(name="bash", description="Runs it.", parameters_json=COMMAND_SCHEMA)]
        )

    async def Execute(
        self, request: tools_pb2.ExecuteRequest, context: Any
    ) -> AsyncIterator[tools_pb2.ExecuteEvent]:
        self.executed.append(request)
        if request.call.name != "bash":
            raise SwarmError(Reason.TOOL_NOT_FOUND, f"there is no tool {request.call.name}")
        self.running_now.set()
        try:
            content, is_error = await self.run(json.loads(request.call.arguments_json)["command"])
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        yield tools_pb2.ExecuteEvent(output=tools_pb2.ToolOutput(text=content))
        yield tools_pb2.ExecuteEvent(result=tools_pb2.ToolResult(content=content, is_error=is_error))

    async def kill(self) -> None:
        if self._server is not None:
            await self._server.grpc.stop(None)
            self._server = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[FakeToolServer]:
        self._server = ServiceServer("tools", "127.0.0.1:0", drain=0.0)
        tools_pb2_grpc.add_ToolServiceServicer_to_server(self, self._server.grpc)
        await self._server.start([SERVICE])
        await self._server.serving()
        self.address = f"127.0.0.1:{self._server.port}"
        try:
            yield self
        finally:
            await self.kill()


async def _echo(command: str) -> tuple[str, bool]:
    return f"ran {command}", False

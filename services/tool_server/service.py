"""The tool server put together: sandbox, sessions, tools, server, and its place in discovery's list."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.common.membership import keep_registered
from services.common.server import ServiceServer
from services.common.settings import Settings
from services.tool_server.journal import Journal
from services.tool_server.runs import Runs
from services.tool_server.sandbox.choose import choose_sandbox
from services.tool_server.servicer import SERVICE_NAME, ToolServicer
from services.tool_server.sessions import Sessions
from services.tool_server.tools.registry import Registry, standard_tools
from swarm.discovery.v1 import discovery_pb2
from swarm.tools.v1 import tools_pb2_grpc

# The journal's file in the home.
JOURNAL = "tool_calls.sqlite"


@asynccontextmanager
async def running(settings: Settings, address: str | None = None) -> AsyncIterator[ServiceServer]:
    """Serves on `address` (default: as configured) while the body runs. Raises SwarmError: address taken."""
    address = address or settings.address("tool_server")
    sandbox = await choose_sandbox(settings)
    sessions = Sessions(settings.sessions_folder, sandbox.inside, sandbox.owner)
    registry = Registry(standard_tools(settings, sandbox))
    runs = Runs(registry, Journal(settings.home / JOURNAL, time.time))
    await runs.open()
    server = ServiceServer("tool_server", address, settings.drain)
    tools_pb2_grpc.add_ToolServiceServicer_to_server(
        ToolServicer(registry, runs, sessions, settings.tool_timeout), server.grpc
    )
    await server.start([SERVICE_NAME])
    member = _member(f"{address.rpartition(':')[0]}:{server.port}")
    async with asyncio.TaskGroup() as tasks:
        # Leaves the list as soon as the drain begins: no new calls for who is going.
        tasks.create_task(
            keep_registered(member, settings.address("discovery"), settings.lease_renew, server.stopping)
        )
        try:
            await server.serving()
            yield server
        finally:
            if not server.stopping.is_set():
                await server.stop()
            await runs.close()


def _member(address: str) -> discovery_pb2.Member:
    return discovery_pb2.Member(
        id=f"tool-server@{address}",
        name="tool server",
        kind=discovery_pb2.MEMBER_KIND_TOOL_SERVER,
        address=address,
    )

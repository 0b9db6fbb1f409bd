"""Discovery put together: server, registry and the task that drops what runs out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.common.server import ServiceServer
from services.common.settings import Settings
from services.discovery.registry import Registry
from services.discovery.servicer import SERVICE_NAME, DiscoveryServicer
from swarm.discovery.v1 import discovery_pb2, discovery_pb2_grpc


@asynccontextmanager
async def running(settings: Settings, address: str | None = None) -> AsyncIterator[ServiceServer]:
    """Serves on `address` (default: as configured) while the body runs. Raises SwarmError: address taken."""
    server = ServiceServer("discovery", address or settings.address("discovery"), settings.drain)
    registry: Registry[discovery_pb2.Member] = Registry(settings.lease_ttl)
    discovery_pb2_grpc.add_DiscoveryServiceServicer_to_server(DiscoveryServicer(registry), server.grpc)
    await server.start([SERVICE_NAME])
    # A group, so that a defect in the expiry ends the process instead of leaving the dead in the list.
    async with asyncio.TaskGroup() as tasks:
        expiry = tasks.create_task(registry.expire_for_ever())
        tasks.create_task(_close_on(server.stopping, registry))
        try:
            await server.serving()
            yield server
        finally:
            if not server.stopping.is_set():
                await server.stop()
            expiry.cancel()


async def _close_on(stopping: asyncio.Event, registry: Registry[discovery_pb2.Member]) -> None:
    """A watch never ends by itself; without this a drain would wait for it to the last."""
    await stopping.wait()
    registry.close()

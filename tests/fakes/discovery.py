"""A discovery whose list is set by hand, on a real server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from services.common.server import ServiceServer
from swarm.discovery.v1 import discovery_pb2, discovery_pb2_grpc

SERVICE = "swarm.discovery.v1.DiscoveryService"


class FakeDiscovery(discovery_pb2_grpc.DiscoveryServiceServicer):
    """`publish` replaces the list that watchers get; `watched` says that one got it since the last start;
    `registered` is who registered itself."""

    def __init__(self) -> None:
        self.registered: list[discovery_pb2.Member] = []
        self.registration = asyncio.Event()
        self.watched = asyncio.Event()
        self.address = ""
        self._members: list[discovery_pb2.Member] = []
        self._changed = asyncio.Event()
        self._server: ServiceServer | None = None

    def publish(self, *members: discovery_pb2.Member) -> None:
        self._members = list(members)
        self._changed.set()
        self._changed = asyncio.Event()

    async def Register(self, request: discovery_pb2.RegisterRequest, context: Any) -> Any:
        self.registered.append(request.member)
        self.registration.set()
        return discovery_pb2.RegisterResponse(lease_id=f"lease-{request.member.id}", ttl_seconds=20.0)

    async def Renew(self, request: discovery_pb2.RenewRequest, context: Any) -> Any:
        return discovery_pb2.RenewResponse(ttl_seconds=20.0)

    async def Deregister(self, request: discovery_pb2.DeregisterRequest, context: Any) -> Any:
        return discovery_pb2.DeregisterResponse()

    async def ListMembers(self, request: discovery_pb2.ListMembersRequest, context: Any) -> Any:
        return discovery_pb2.ListMembersResponse(members=self._members)

    async def Watch(
        self, request: discovery_pb2.WatchRequest, context: Any
    ) -> AsyncIterator[discovery_pb2.WatchResponse]:
        while True:
            changed = self._changed
            yield discovery_pb2.WatchResponse(members=self._members)
            self.watched.set()
            await changed.wait()

    async def start(self, address: str = "127.0.0.1:0") -> None:
        self._server = ServiceServer("discovery", address, drain=0.0)
        discovery_pb2_grpc.add_DiscoveryServiceServicer_to_server(self, self._server.grpc)
        await self._server.start([SERVICE])
        await self._server.serving()
        self.address = f"127.0.0.1:{self._server.port}"

    async def kill(self) -> None:
        if self._server is not None:
            await self._server.grpc.stop(None)
            self._server = None
            self.watched = asyncio.Event()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[FakeDiscovery]:
        await self.start()
        try:
            yield self
        finally:
            await self.kill()

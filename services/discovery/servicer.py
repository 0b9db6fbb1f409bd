"""DiscoveryService: checks what comes in and calls the registry."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc
import structlog

from services.common.errors import invalid
from services.discovery.registry import Registry
from services.discovery.validation import check_kind, check_member
from swarm.discovery.v1 import discovery_pb2, discovery_pb2_grpc

SERVICE_NAME = "swarm.discovery.v1.DiscoveryService"

log = structlog.get_logger()

Members = list[discovery_pb2.Member]


class DiscoveryServicer(discovery_pb2_grpc.DiscoveryServiceServicer):
    def __init__(self, registry: Registry[discovery_pb2.Member]) -> None:
        self._registry = registry

    async def Register(
        self, request: discovery_pb2.RegisterRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> discovery_pb2.RegisterResponse:
        check_member(request.member)
        lease_id = self._registry.register(request.member.id, request.member)
        log.info("member registered", member=request.member.id, name=request.member.name)
        return discovery_pb2.RegisterResponse(lease_id=lease_id, ttl_seconds=self._registry.ttl)

    async def Renew(
        self, request: discovery_pb2.RenewRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> discovery_pb2.RenewResponse:
        self._registry.renew(_lease(request.lease_id))
        return discovery_pb2.RenewResponse(ttl_seconds=self._registry.ttl)

    async def Deregister(
        self, request: discovery_pb2.DeregisterRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> discovery_pb2.DeregisterResponse:
        self._registry.deregister(_lease(request.lease_id))
        return discovery_pb2.DeregisterResponse()

    async def ListMembers(
        self, request: discovery_pb2.ListMembersRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> discovery_pb2.ListMembersResponse:
        check_kind("kind", request.kind)
        return discovery_pb2.ListMembersResponse(members=_of_kind(self._registry.members(), request.kind))

    async def Watch(
        self, request: discovery_pb2.WatchRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[discovery_pb2.WatchResponse]:
        check_kind("kind", request.kind)
        sent: Members | None = None
        async with aclosing(self._registry.watch()) as lists:
            async for members in lists:
                chosen = _of_kind(members, request.kind)
                if chosen != sent:
                    sent = chosen
                    yield discovery_pb2.WatchResponse(members=chosen)


def _of_kind(members: Members, kind: int) -> Members:
    if kind == discovery_pb2.MEMBER_KIND_UNSPECIFIED:
        return members
    return [member for member in members if member.kind == kind]


def _lease(lease_id: str) -> str:
    if not lease_id:
        raise invalid("lease_id", "lease_id is empty")
    return lease_id

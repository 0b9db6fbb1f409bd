"""keep_registered against a discovery that can be told to forget, refuse and go away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from services.common.errors import Reason, SwarmError, invalid
from services.common.membership import keep_registered
from services.common.server import ServiceServer
from swarm.discovery.v1 import discovery_pb2, discovery_pb2_grpc

MEMBER = discovery_pb2.Member(
    id="w1", name="Zeus", kind=discovery_pb2.MEMBER_KIND_WORKER, address="127.0.0.1:1"
)


class Table(discovery_pb2_grpc.DiscoveryServiceServicer):
    """Writes down each call; `leases` are those it knows."""

    def __init__(self) -> None:
        self.calls: asyncio.Queue[str] = asyncio.Queue()
        self.leases: set[str] = set()
        self.refusal: SwarmError | None = None

    async def Register(
        self, request: discovery_pb2.RegisterRequest, context: Any
    ) -> discovery_pb2.RegisterResponse:
        self.calls.put_nowait("register")
        if self.refusal is not None:
            raise self.refusal
        assert request.member == MEMBER
        self.leases.add("lease")
        return discovery_pb2.RegisterResponse(lease_id="lease", ttl_seconds=20)

    async def Renew(self, request: discovery_pb2.RenewRequest, context: Any) -> discovery_pb2.RenewResponse:
        self.calls.put_nowait("renew")
        if request.lease_id not in self.leases:
            raise SwarmError(Reason.NOT_FOUND, "unknown")
        return discovery_pb2.RenewResponse(ttl_seconds=20)

    async def Deregister(
        self, request: discovery_pb2.DeregisterRequest, context: Any
    ) -> discovery_pb2.DeregisterResponse:
        self.calls.put_nowait("deregister")
        self.leases.discard(request.lease_id)
        return discovery_pb2.DeregisterResponse()

    async def next(self) -> str:
        return await asyncio.wait_for(self.calls.get(), 10)


@asynccontextmanager
async def _serving(table: Table, port: int = 0) -> AsyncIterator[int]:
    server = ServiceServer("discovery", f"127.0.0.1:{port}", drain=0)
    discovery_pb2_grpc.add_DiscoveryServiceServicer_to_server(table, server.grpc)
    await server.start([])
    try:
        yield server.port
    finally:
        await server.stop()


@asynccontextmanager
async def _kept(port: int, renew: float) -> AsyncIterator[asyncio.Event]:
    stop = asyncio.Event()
    keeping = asyncio.create_task(keep_registered(MEMBER, f"127.0.0.1:{port}", renew, stop))
    yield stop
    stop.set()
    await asyncio.wait_for(keeping, 5)


async def test_registers_renews_and_says_goodbye() -> None:
    table = Table()
    async with _serving(table) as port:
        async with _kept(port, renew=0.02):
            assert [await table.next() for _ in range(4)] == ["register", "renew", "renew", "renew"]
        assert not table.leases
    rest = [table.calls.get_nowait() for _ in range(table.calls.qsize())]
    assert rest[-1] == "deregister"
    assert "register" not in rest


async def test_a_lost_lease_is_registered_again_at_once() -> None:
    table = Table()
    async with _serving(table) as port, _kept(port, renew=0.05):
        assert await table.next() == "register"
        table.leases.clear()
        assert [await table.next(), await table.next()] == ["renew", "register"]


async def test_a_restarted_discovery_is_found_without_waiting_for_the_renewal() -> None:
    first, second = Table(), Table()
    async with _serving(first) as port:
        keeping = _kept(port, renew=3600.0)
        await keeping.__aenter__()
        assert await first.next() == "register"
    async with _serving(second, port):
        # Perhaps after a renewal, if the first one's answer had still arrived.
        while await second.next() != "register":
            pass
        await keeping.__aexit__(None, None, None)


async def test_discovery_may_come_later_than_the_member() -> None:
    async with _serving(Table()) as port:
        pass
    async with _kept(port, renew=0.2):
        table = Table()
        async with _serving(table, port):
            assert await table.next() == "register"


async def test_a_failing_discovery_is_asked_again() -> None:
    table = Table()
    table.refusal = SwarmError(Reason.INTERNAL, "full")
    async with _serving(table) as port, _kept(port, renew=5.0):
        assert await table.next() == "register"
        table.refusal = None
        assert await table.next() == "register"


async def test_a_refused_member_is_an_error_and_not_a_loop() -> None:
    table = Table()
    table.refusal = invalid("member.address", "expected host:port")
    async with _serving(table) as port:
        with pytest.raises(SwarmError) as caught:
            await asyncio.wait_for(
                keep_registered(MEMBER, f"127.0.0.1:{port}", 5.0, asyncio.Event()), timeout=5
            )
    assert caught.value.param == "member.address"
    assert table.calls.qsize() == 1


async def test_stops_promptly_while_discovery_is_away() -> None:
    async with _serving(Table()) as port:
        pass
    stop = asyncio.Event()
    keeping = asyncio.create_task(keep_registered(MEMBER, f"127.0.0.1:{port}", 60.0, stop))
    await asyncio.wait({keeping}, timeout=0.05)
    stop.set()
    await asyncio.wait_for(keeping, 1)

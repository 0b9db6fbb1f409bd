"""Discovery as it is served: leases, watches, restart, drain."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from services.common.channel import open_channel
from services.common.errors import Reason, SwarmError
from services.common.grpc_errors import from_rpc_error
from services.common.membership import keep_registered
from services.common.settings import Settings
from services.discovery.service import running
from swarm.discovery.v1 import discovery_pb2, discovery_pb2_grpc

ANY = "127.0.0.1:0"
WORKER = discovery_pb2.MEMBER_KIND_WORKER
TOOL_SERVER = discovery_pb2.MEMBER_KIND_TOOL_SERVER


def _member(
    identity: str, kind: discovery_pb2.MemberKind.ValueType = WORKER, port: int = 17619
) -> discovery_pb2.Member:
    return discovery_pb2.Member(id=identity, name=identity, kind=kind, address=f"127.0.0.1:{port}")


def _settings(home: Path, ttl: float = 20.0) -> Settings:
    return Settings(home=home, lease_ttl=ttl)


class Client:
    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.stub = discovery_pb2_grpc.DiscoveryServiceStub(channel)

    async def register(self, member: discovery_pb2.Member) -> str:
        request = discovery_pb2.RegisterRequest(member=member)
        return (await self.stub.Register(request, timeout=5)).lease_id

    async def ids(self, kind: discovery_pb2.MemberKind.ValueType = 0) -> list[str]:
        request = discovery_pb2.ListMembersRequest(kind=kind)
        return [each.id for each in (await self.stub.ListMembers(request, timeout=5)).members]

    async def watch(self, kind: discovery_pb2.MemberKind.ValueType = 0) -> AsyncIterator[list[str]]:
        async for change in self.stub.Watch(discovery_pb2.WatchRequest(kind=kind), timeout=30):
            yield [each.id for each in change.members]


async def _next(lists: AsyncIterator[list[str]]) -> list[str]:
    return await asyncio.wait_for(anext(lists), 10)


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with (
        running(_settings(tmp_path), ANY) as server,
        open_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        yield Client(channel)


async def test_the_life_of_a_member(client: Client) -> None:
    lease = await client.register(_member("w1"))
    renewed = await client.stub.Renew(discovery_pb2.RenewRequest(lease_id=lease), timeout=5)
    assert renewed.ttl_seconds == 20.0
    await client.register(_member("t1", TOOL_SERVER))
    assert await client.ids() == ["w1", "t1"]
    assert await client.ids(TOOL_SERVER) == ["t1"]
    await client.stub.Deregister(discovery_pb2.DeregisterRequest(lease_id=lease), timeout=5)
    assert await client.ids() == ["t1"]


async def test_a_watch_sees_its_kind_only(client: Client) -> None:
    everybody, tools = client.watch(), client.watch(TOOL_SERVER)
    assert await _next(everybody) == await _next(tools) == []
    await client.register(_member("w1"))
    assert await _next(everybody) == ["w1"]
    await client.register(_member("t1", TOOL_SERVER))
    assert await _next(everybody) == ["w1", "t1"]
    # The first it hears of is the tool server: the worker before was none of its business.
    assert await _next(tools) == ["t1"]


async def test_a_moved_member_is_news(client: Client) -> None:
    await client.register(_member("w1", port=1111))
    call = client.stub.Watch(discovery_pb2.WatchRequest(), timeout=30)
    changes = aiter(call)
    assert (await anext(changes)).members[0].address == "127.0.0.1:1111"
    await client.register(_member("w1", port=2222))
    change = await asyncio.wait_for(anext(changes), 5)
    assert [each.address for each in change.members] == ["127.0.0.1:2222"]
    call.cancel()


async def test_the_silent_are_gone_in_time_and_watchers_hear_of_it(tmp_path: Path) -> None:
    async with (
        running(_settings(tmp_path, ttl=0.5), ANY) as server,
        open_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        client = Client(channel)
        changes = client.watch()
        assert await _next(changes) == []
        stop = asyncio.Event()
        alive = asyncio.create_task(keep_registered(_member("alive"), f"127.0.0.1:{server.port}", 5.0, stop))
        assert await _next(changes) == ["alive"]
        started = time.monotonic()
        await client.register(_member("silent"))
        assert await _next(changes) == ["alive", "silent"]
        assert await _next(changes) == ["alive"]
        assert 0.45 <= time.monotonic() - started < 2.0
        stop.set()
        assert await _next(changes) == []
        await asyncio.wait_for(alive, 5)


async def test_members_come_back_after_a_restart(tmp_path: Path) -> None:
    stop = asyncio.Event()
    async with running(_settings(tmp_path), ANY) as server:
        address = f"127.0.0.1:{server.port}"
        keeping = [
            asyncio.create_task(keep_registered(_member(name), address, 3600.0, stop)) for name in ("a", "b")
        ]
        async with open_channel(address) as channel:
            changes = Client(channel).watch()
            while sorted(await _next(changes)) != ["a", "b"]:
                pass
    async with running(_settings(tmp_path), address), open_channel(address) as channel:
        changes = Client(channel).watch()
        while sorted(await _next(changes)) != ["a", "b"]:
            pass
        stop.set()
        await asyncio.wait_for(asyncio.gather(*keeping), 5)


async def test_open_watches_do_not_delay_the_stop(tmp_path: Path) -> None:
    async with (
        running(_settings(tmp_path), ANY) as server,
        open_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        changes = Client(channel).watch()
        assert await _next(changes) == []
        await asyncio.wait_for(server.stop(), 5)
        with pytest.raises(StopAsyncIteration):
            await _next(changes)


@pytest.mark.parametrize(
    ("call", "request_message", "param"),
    [
        ("Register", discovery_pb2.RegisterRequest(), "member.id"),
        ("Renew", discovery_pb2.RenewRequest(), "lease_id"),
        ("Deregister", discovery_pb2.DeregisterRequest(), "lease_id"),
        ("ListMembers", discovery_pb2.ListMembersRequest(kind=42), "kind"),  # type: ignore[arg-type]
    ],
)
async def test_what_is_malformed_is_named(
    client: Client, call: str, request_message: Any, param: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await getattr(client.stub, call)(request_message, timeout=5)
    error = from_rpc_error(caught.value)
    assert (error.reason, error.param) == (Reason.INVALID_FIELD, param)


async def test_an_unknown_lease_is_not_found(client: Client) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.stub.Renew(discovery_pb2.RenewRequest(lease_id="nobody"), timeout=5)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert from_rpc_error(caught.value).reason is Reason.NOT_FOUND


async def test_a_taken_port_is_named(tmp_path: Path) -> None:
    async with running(_settings(tmp_path), ANY) as server:
        with pytest.raises(SwarmError, match=str(server.port)):
            async with running(_settings(tmp_path), f"127.0.0.1:{server.port}"):
                raise AssertionError("two servers on one port")

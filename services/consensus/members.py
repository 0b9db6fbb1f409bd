"""Who is there, as discovery tells it; the last list stands while discovery is away."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any

import grpc
import structlog

from services.common.channel import open_channel
from services.common.errors import Reason
from services.common.grpc_errors import from_rpc_error
from services.consensus.remote import RemoteToolServer, RemoteWorker
from swarm.discovery.v1 import discovery_pb2, discovery_pb2_grpc

# A watch is begun anew after so long, in seconds, so that no call is without a deadline.
_WATCH = 300.0
# Pause after a failed watch, in seconds: it doubles from the first to the last.
_PAUSES = (0.1, 2.0)

log = structlog.get_logger()


class Members:
    """The `Directory` of a running service."""

    def __init__(self, discovery_address: str, settle: float) -> None:
        """`settle`: seconds that known members get to register again after discovery was away.

        A discovery that was restarted knows nobody at first, while everybody is still there.
        """
        self._address = discovery_address
        self._settle = settle
        self._known = False
        self._latest: tuple[discovery_pb2.Member, ...] = ()
        self._workers: dict[str, RemoteWorker] = {}
        self._tool_servers: dict[str, RemoteToolServer] = {}
        self._changed = asyncio.Event()
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def known(self) -> bool:
        return self._known

    def workers(self) -> Sequence[RemoteWorker]:
        return list(self._workers.values())

    def tool_server(self) -> RemoteToolServer | None:
        return self._tool_servers[min(self._tool_servers)] if self._tool_servers else None

    async def changed(self, until: float) -> bool:
        try:
            async with asyncio.timeout_at(until):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def run(self, stop: asyncio.Event) -> None:
        """Follows discovery until `stop` is set, then closes all channels."""
        following = asyncio.create_task(self._follow(), name="watch of discovery")
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({following, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                following.result()
        finally:
            for task in (following, stopping):
                task.cancel()
            await asyncio.gather(following, stopping, return_exceptions=True)
            self._apply(())
            await asyncio.gather(*self._closing)

    async def _follow(self) -> None:
        first, last = _PAUSES
        pause = first
        async with open_channel(self._address) as channel:
            stub = discovery_pb2_grpc.DiscoveryServiceStub(channel)
            while True:
                try:
                    await self._watch(stub)
                    pause = first
                except grpc.aio.AioRpcError as rpc_error:
                    error = from_rpc_error(rpc_error)
                    if error.reason is not Reason.DEADLINE_EXCEEDED:
                        log.warning("discovery is away", reason=error.reason, detail=error.message)
                await asyncio.sleep(pause)
                pause = min(2 * pause, last)

    async def _watch(self, stub: discovery_pb2_grpc.DiscoveryServiceStub) -> None:
        loop = asyncio.get_running_loop()
        settling: asyncio.TimerHandle | None = None
        # Waits for discovery to be there; the channel keeps trying to reach it.
        call = stub.Watch(discovery_pb2.WatchRequest(), timeout=_WATCH, wait_for_ready=True)
        try:
            async for response in call:
                latest = tuple(response.members)
                if settling is None and self._known:
                    settling = loop.call_later(self._settle, lambda: self._apply(self._latest))
                self._latest = latest
                waiting = settling is not None and loop.time() < settling.when()
                self._apply(latest, keep_absent=waiting)
        finally:
            call.cancel()
            if settling is not None:
                settling.cancel()

    def _apply(self, members: Iterable[discovery_pb2.Member], keep_absent: bool = False) -> None:
        """Makes `members` the ones that are known; `keep_absent` leaves the others as they are."""
        workers: dict[str, discovery_pb2.Member] = {}
        servers: dict[str, discovery_pb2.Member] = {}
        for member in members:
            if member.kind == discovery_pb2.MEMBER_KIND_WORKER:
                workers[member.id] = member
            elif member.kind == discovery_pb2.MEMBER_KIND_TOOL_SERVER:
                servers[member.id] = member

        for member_id, worker in list(self._workers.items()):
            present = workers.get(member_id)
            if (present is None and not keep_absent) or (present and present.address != worker.address):
                log.info("worker left", worker=worker.name, address=worker.address)
                self._close(self._workers.pop(member_id).retire())
        for member_id, member in workers.items():
            if (known := self._workers.get(member_id)) is not None:
                known.update(member)
            else:
                log.info("worker found", worker=member.name, address=member.address)
                self._workers[member_id] = RemoteWorker(member, self._announce)

        for member_id, server in list(self._tool_servers.items()):
            present = servers.get(member_id)
            if (present is None and not keep_absent) or (present and present.address != server.address):
                self._close(self._tool_servers.pop(member_id).close())
        for member_id, member in servers.items():
            if member_id not in self._tool_servers:
                self._tool_servers[member_id] = RemoteToolServer(member.address)

        self._known = True
        self._announce()

    def _close(self, closing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(closing)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _announce(self) -> None:
        """Wakes whoever waits for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

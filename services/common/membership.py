"""A member's side of discovery: register, renew, register again, and say goodbye.

Discovery may be absent when the member starts and may be restarted at any time; the member goes on
serving meanwhile and is listed again as soon as discovery is back.
"""

from __future__ import annotations

import asyncio
from typing import NoReturn

import grpc
import structlog

from services.common.channel import open_channel
from services.common.errors import Reason, SwarmError
from services.common.grpc_errors import from_rpc_error
from swarm.discovery.v1 import discovery_pb2, discovery_pb2_grpc

# Pause after a failed call, in seconds: long enough not to spin, short enough to be back at once.
_RETRY = 0.25
# Longest wait for one answer, in seconds, the wait for a connection included.
_CALL = 5.0
# Longest wait for discovery's answer to the goodbye; the lease runs out by itself anyway.
_GOODBYE = 1.0

log = structlog.get_logger()


async def keep_registered(
    member: discovery_pb2.Member, discovery_address: str, renew: float, stop: asyncio.Event
) -> None:
    """Keeps `member` in discovery's list until `stop` is set, then takes it out.

    `renew` is the longest pause between renewals in seconds; a third of the lease's life if that is less.
    Returns after `stop`. Raises SwarmError INVALID_FIELD when discovery refuses the member as malformed;
    every other failure is logged once and tried again.
    """
    async with open_channel(discovery_address) as channel:
        registration = _Registration(member, channel, renew)
        holding = asyncio.create_task(registration.hold())
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({holding, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            holding.cancel()
            stopped.cancel()
            await asyncio.wait({holding, stopped})
        if not holding.cancelled():
            holding.result()
        await registration.end()


class _Registration:
    def __init__(self, member: discovery_pb2.Member, channel: grpc.aio.Channel, renew: float) -> None:
        self._member = member
        self._channel = channel
        self._stub = discovery_pb2_grpc.DiscoveryServiceStub(channel)
        self._renew = renew
        self._lease = ""
        self._ttl = 0.0
        self._failing = False

    async def hold(self) -> NoReturn:
        """Renews for ever; ends by being cancelled, or by an error that no new attempt would mend."""
        lost: asyncio.Task[None] | None = None
        try:
            while True:
                try:
                    await self._renew_or_register()
                except grpc.aio.AioRpcError as rpc_error:
                    await self._failed(from_rpc_error(rpc_error))
                    continue
                self._failing = False
                # One watcher for the life of the connection: gRPC keeps an abandoned one until the state
                # changes, so one for each pause would pile up.
                if lost is None or lost.done():
                    lost = asyncio.create_task(
                        self._channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
                    )
                await asyncio.wait({lost}, timeout=min(self._renew, self._ttl / 3))
        finally:
            if lost is not None:
                lost.cancel()
                await asyncio.wait({lost})

    async def _renew_or_register(self) -> None:
        """One renewal, or a registration where there is no lease. Waits for discovery to be reachable."""
        if self._lease:
            renewed = await self._stub.Renew(
                discovery_pb2.RenewRequest(lease_id=self._lease), timeout=_CALL, wait_for_ready=True
            )
            self._ttl = renewed.ttl_seconds
            return
        registered = await self._stub.Register(
            discovery_pb2.RegisterRequest(member=self._member), timeout=_CALL, wait_for_ready=True
        )
        self._lease, self._ttl = registered.lease_id, registered.ttl_seconds
        log.info("registered", member=self._member.id, name=self._member.name, ttl=self._ttl)

    async def _failed(self, error: SwarmError) -> None:
        if error.reason is Reason.NOT_FOUND and self._lease:
            log.info("lease lost, registering again", member=self._member.id)
            self._lease = ""
            return
        if error.reason is Reason.INVALID_FIELD:
            raise error
        if not self._failing:
            log.warning("discovery does not answer, trying on", reason=error.reason, detail=error.message)
            self._failing = True
        await asyncio.sleep(_RETRY)

    async def end(self) -> None:
        """Says goodbye, so that nobody has to wait for the lease to run out."""
        if not self._lease:
            return
        try:
            await self._stub.Deregister(
                discovery_pb2.DeregisterRequest(lease_id=self._lease), timeout=_GOODBYE
            )
        except grpc.aio.AioRpcError as rpc_error:
            log.info("no goodbye, the lease will run out", detail=from_rpc_error(rpc_error).message)

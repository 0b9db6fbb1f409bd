"""The gateway's one partner: the consensus service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common.channel import deadline
from services.common.errors import Reason, SwarmError
from services.common.grpc_errors import from_rpc_error
from services.common.settings import Settings
from swarm.consensus.v1 import consensus_pb2 as pb
from swarm.consensus.v1 import consensus_pb2_grpc
from swarm.inference.v1 import inference_pb2

SERVICE = "swarm.consensus.v1.ConsensusService"
# Asking who is there must not take longer than a person waits.
SHORT = 2.0


class Decision:
    """One `Decide` call: `async for event in decision.events()`, and `stop` to end it from anywhere."""

    def __init__(self, call: grpc.aio.UnaryStreamCall[pb.DecideRequest, pb.DecideEvent]) -> None:
        self._call = call
        self._stopped_by: Exception | None = None

    async def events(self) -> AsyncGenerator[pb.DecideEvent, None]:
        """Raises SwarmError when the call fails, and what `stop` was given when it was stopped."""
        try:
            async for event in self._call:
                yield event
        except grpc.aio.AioRpcError as error:
            if self._stopped_by is not None:
                raise self._stopped_by from error
            raise _as_swarm_error(error) from error
        except asyncio.CancelledError:
            if self._stopped_by is None:
                raise
            # gRPC tells of its own cancellation as if this task had been cancelled.
            raise self._stopped_by from None

    def stop(self, reason: Exception) -> None:
        """Cancels the call now; the reader gets `reason`."""
        if self._stopped_by is None:
            self._stopped_by = reason
        self._call.cancel()

    def cancel(self) -> None:
        """Cancels the call if it still runs."""
        self._call.cancel()


class Consensus:
    """Calls to the consensus service at the other end of `channel`."""

    def __init__(self, channel: grpc.aio.Channel, settings: Settings) -> None:
        self._stub = consensus_pb2_grpc.ConsensusServiceStub(channel)
        self._health: Any = health_pb2_grpc.HealthStub(channel)
        self._request_timeout = settings.request_timeout

    def decide(self, request: pb.DecideRequest) -> Decision:
        return Decision(self._stub.Decide(request, timeout=deadline(self._request_timeout)))

    async def models(self) -> Sequence[inference_pb2.ModelInfo]:
        """The models of all live workers and the swarm's own names. Raises SwarmError."""
        try:
            response = await self._stub.ListModels(pb.ListModelsRequest(), timeout=deadline(SHORT))
        except grpc.aio.AioRpcError as error:
            raise _as_swarm_error(error) from error
        return response.models

    async def serving(self) -> bool:
        """Whether the consensus service says that it serves. Raises SwarmError when it cannot be asked."""
        try:
            response = await self._health.Check(
                health_pb2.HealthCheckRequest(service=SERVICE), timeout=deadline(SHORT)
            )
        except grpc.aio.AioRpcError as error:
            raise _as_swarm_error(error) from error
        return bool(response.status == health_pb2.HealthCheckResponse.SERVING)


def _as_swarm_error(error: grpc.aio.AioRpcError) -> SwarmError:
    found = from_rpc_error(error)
    if found.reason is Reason.CANCELLED:
        # Not by this gateway's client, or nobody would be told: the other side is going away.
        return SwarmError(Reason.UNAVAILABLE, "the swarm gave the request up; a service may be restarting")
    return found

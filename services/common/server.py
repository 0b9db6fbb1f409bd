"""The only place where a gRPC server is made: health, reflection, keepalive, error mapping and drain."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.common.channel import KEEPALIVE_OPTIONS
from services.common.errors import Reason, SwarmError
from services.common.interceptors import ServerEdge

log = structlog.get_logger()


class ServiceServer:
    """One service's server. Add servicers to `.grpc`, then `start`, `serving`, `run_until_signal`.

    `stopping` is set as soon as the drain begins, before calls in flight are waited for.
    """

    def __init__(self, name: str, address: str, drain: float) -> None:
        """`drain` is the time in seconds that calls in flight get when the server stops."""
        self.name = name
        self.address = address
        self.port = 0
        self.stopping = asyncio.Event()
        self.grpc = grpc.aio.server(
            interceptors=(ServerEdge(),),
            options=(
                *KEEPALIVE_OPTIONS,
                # A client's keepalive must be permitted, or it is sent away with GOAWAY.
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
                # Otherwise two processes share a port and each gets some of the calls.
                ("grpc.so_reuseport", 0),
            ),
        )
        self._drain = drain
        self._health = health.aio.HealthServicer()
        self._names: tuple[str, ...] = ("",)

    async def start(self, service_names: Sequence[str]) -> None:
        """Binds and answers, health says NOT_SERVING. `service_names` are full gRPC service names.

        Raises SwarmError UNAVAILABLE naming the address when it is taken.
        """
        self._names = ("", *service_names)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.grpc)
        await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        reflection.enable_server_reflection(
            (*service_names, health.SERVICE_NAME, reflection.SERVICE_NAME), self.grpc
        )
        try:
            self.port = self.grpc.add_insecure_port(self.address)
        except RuntimeError as error:
            raise SwarmError(
                Reason.UNAVAILABLE,
                f"{self.name} cannot listen on {self.address}: the port is taken or the address is not ours",
            ) from error
        await self.grpc.start()

    async def serving(self) -> None:
        """Health says SERVING: the service is warm."""
        await self._set_health(health_pb2.HealthCheckResponse.SERVING)
        log.info("serving", address=self.address, port=self.port)

    async def run_until_signal(self) -> None:
        """Waits for SIGTERM or SIGINT, then drains."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        await self.stopping.wait()
        await self.stop()

    async def stop(self) -> None:
        """Health says NOT_SERVING, new calls are refused, calls in flight get the drain's time."""
        self.stopping.set()
        log.info("draining", seconds=self._drain)
        await self._health.enter_graceful_shutdown()
        await self.grpc.stop(self._drain)
        log.info("stopped")

    async def _set_health(self, status: int) -> None:
        for name in self._names:
            await self._health.set(name, status)

"""The worker put together: server, model and registration, from loading to drain."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

import structlog

from services.common.chat_proto import model_to_proto
from services.common.membership import keep_registered
from services.common.server import ServiceServer
from services.common.settings import Settings
from services.inference_worker import identity
from services.inference_worker.loading import Loaded, load
from services.inference_worker.metrics import MetricsServer
from services.inference_worker.servicer import SERVICE, InferenceServicer
from swarm.discovery.v1 import discovery_pb2
from swarm.inference.v1 import inference_pb2_grpc

log = structlog.get_logger()


class EngineLost(RuntimeError):
    """The engine failed: this process must end, so that a new one takes its place."""


@asynccontextmanager
async def running(settings: Settings, address: str | None = None) -> AsyncIterator[ServiceServer]:
    """Serves on `address` (default: as configured) while the body runs.

    The port is bound before the model is loaded, so that a taken port is told at once; health says SERVING
    when the model has answered for the first time. Raises SwarmError: address taken, or what is wrong with
    the model; EngineLost after the drain if the engine failed.
    """
    server = ServiceServer("inference_worker", address or settings.address("worker"), settings.drain)
    servicer = InferenceServicer(settings.queue)
    inference_pb2_grpc.add_InferenceServiceServicer_to_server(servicer, server.grpc)
    await server.start([SERVICE])
    loop = asyncio.get_running_loop()
    lost: list[BaseException] = []

    def on_failure(error: BaseException) -> None:
        lost.append(error)
        loop.call_soon_threadsafe(server.stopping.set)

    stop_pull = threading.Event()
    loaded: Loaded | None = None
    registration: asyncio.Task[None] | None = None
    metrics = MetricsServer(settings.host, settings.metrics_port, servicer.status)
    try:
        metrics.start()
        me = identity.load(settings.home, server.port, settings.worker_name)
        loaded = await asyncio.to_thread(load, settings, me.name, on_failure, stop_pull)
        servicer.worker = loaded.worker
        await server.serving()
        registration = asyncio.create_task(_register(server, settings, me, loaded))
        yield server
    finally:
        stop_pull.set()
        if lost or not server.stopping.is_set():
            await server.stop()
        if registration is not None:
            await registration
        await asyncio.to_thread(metrics.close)
        if loaded is not None:
            await asyncio.to_thread(loaded.close)
            loaded.worker.close()
    if lost:
        raise EngineLost("the engine failed") from lost[0]


async def _register(server: ServiceServer, settings: Settings, me: identity.Identity, loaded: Loaded) -> None:
    host, _, _ = server.address.rpartition(":")
    member = discovery_pb2.Member(
        id=me.id,
        name=me.name,
        kind=discovery_pb2.MEMBER_KIND_WORKER,
        address=f"{host}:{server.port}",
        models=[model_to_proto(loaded.worker.model)],
        slots=settings.slots,
        version=_version(),
    )
    await keep_registered(member, settings.address("discovery"), settings.lease_renew, server.stopping)


def _version() -> str:
    try:
        return version("local-swarm")
    except PackageNotFoundError:
        return "unknown"

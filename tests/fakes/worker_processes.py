"""Real workers in processes of their own, which start quickly and can be killed.

They are forked from a server process that has everything imported, so that a test can afford many of them.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import socket
import sys
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType

from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common.channel import open_channel
from swarm.discovery.v1 import discovery_pb2
from swarm.inference.v1 import inference_pb2, inference_pb2_grpc

_TIMEOUT = 60.0
SLOTS = 8


@dataclass
class WorkerProcess:
    process: BaseProcess
    member: discovery_pb2.Member

    @property
    def name(self) -> str:
        return self.member.name

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.join(_TIMEOUT)


class WorkerProcesses:
    """`async with`: those that are still alive are killed at the end."""

    def __init__(self, home: Path, model: Path) -> None:
        self._home = home
        self._model = model
        self._context: ForkServerContext = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["services.inference_worker.__main__"])
        self._started: list[WorkerProcess] = []

    async def __aenter__(self) -> WorkerProcesses:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._started:
            worker.kill()

    async def start(self) -> WorkerProcess:
        """A worker that serves. It is in no discovery: nobody listens at port 1."""
        name, port = f"worker-{len(self._started)}", _free_port()
        environment = {
            "SWARM_HOME": str(self._home),
            "SWARM_MODEL": str(self._model),
            "SWARM_WORKER_NAME": name,
            "SWARM_WORKER_PORT": str(port),
            "SWARM_DISCOVERY_PORT": "1",
            "SWARM_THREADS": "1",
            "SWARM_SLOTS": str(SLOTS),
            # Guesses would be right all the time, and the answer over before anybody can be killed.
            "SWARM_SPECULATION": "off",
            "SWARM_KV_DISK": "0",
            "SWARM_LOG_LEVEL": "error",
        }
        process = self._context.Process(target=_serve, args=(environment,), daemon=True)
        process.start()
        member = discovery_pb2.Member(
            id=name,
            name=name,
            kind=discovery_pb2.MEMBER_KIND_WORKER,
            address=f"127.0.0.1:{port}",
            slots=SLOTS,
        )
        worker = WorkerProcess(process, member)
        self._started.append(worker)
        async with asyncio.timeout(_TIMEOUT), open_channel(member.address) as channel:
            watched = health_pb2.HealthCheckRequest(service="swarm.inference.v1.InferenceService")
            watch = health_pb2_grpc.HealthStub(channel).Watch(watched, timeout=_TIMEOUT, wait_for_ready=True)
            async for health in watch:
                if health.status == health_pb2.HealthCheckResponse.SERVING:
                    break
            watch.cancel()
            stub = inference_pb2_grpc.InferenceServiceStub(channel)
            listed = await stub.ListModels(inference_pb2.ListModelsRequest(), timeout=_TIMEOUT)
            member.models.extend(listed.models)
        return worker


def _serve(environment: dict[str, str]) -> None:
    """Runs in the new process."""
    from services.common.process import run
    from services.inference_worker.__main__ import _SWITCH_INTERVAL, _serve

    os.environ.update(environment)
    sys.setswitchinterval(_SWITCH_INTERVAL)
    run("inference_worker", _serve)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

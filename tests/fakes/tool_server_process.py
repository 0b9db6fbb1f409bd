"""The real tool server as a process of its own that can be killed and started again, quickly."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import socket
from pathlib import Path

from services.common.process import run
from services.common.settings import Settings
from services.tool_server.__main__ import _serve
from swarm.discovery.v1 import discovery_pb2

TIMEOUT = 20.0


def _child(environment: dict[str, str]) -> None:
    os.environ.update(environment)
    run("tool_server", _serve)


class ToolServerProcess:
    """One home and one port. Commands run bare, for speed.

    Each process is forked from one that has the imports behind it and has never opened a connection; it then
    does what `python -m services.tool_server` does.
    """

    def __init__(self, home: Path) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        settings = Settings(
            home=home, tool_server_port=port, discovery_port=1, sandbox="none", log_level="error"
        )
        self.address = f"127.0.0.1:{port}"
        self.starts = 0
        self._environment = settings.environment()
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__])
        self._process: multiprocessing.process.BaseProcess | None = None

    @property
    def member(self) -> discovery_pb2.Member:
        return discovery_pb2.Member(
            id="tools", name="tools", kind=discovery_pb2.MEMBER_KIND_TOOL_SERVER, address=self.address
        )

    def start(self) -> None:
        self.starts += 1
        self._process = self._context.Process(target=_child, args=(self._environment,), daemon=True)
        self._process.start()

    async def kill(self) -> None:
        """SIGKILL; returns when the process is gone."""
        if self._process is None:
            return
        self._process.kill()
        await asyncio.to_thread(self._process.join, TIMEOUT)
        assert self._process.exitcode is not None
        self._process.close()
        self._process = None

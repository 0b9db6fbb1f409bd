"""uvicorn run by hand: our socket, our signals, our log."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator

import structlog
import uvicorn
from fastapi import FastAPI

from gateway.edge import Edge
from services.common.errors import Reason, SwarmError

log = structlog.get_logger()

# Longer than the pause between two turns of an agent: a client that reuses a connection in the moment
# when the server closes it sees a failed request.
KEEP_ALIVE = 75
# After the drain, answers in flight have been told; this long they get to say so.
LAST_WORDS = 2.0
BACKLOG = 1024


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises SwarmError UNAVAILABLE naming an address that cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only on sockets that name their protocol; without it every second write of
    # a response waits 40 ms for the client's delayed acknowledgement.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise SwarmError(
            Reason.UNAVAILABLE, f"cannot listen on {host}:{port}: {error.strerror or error}"
        ) from error
    listening.setblocking(False)
    return listening


class GatewayServer(uvicorn.Server):
    """Serves `app` until `stop()`; then answers in flight get `drain` seconds."""

    def __init__(self, app: FastAPI, drain: float) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE,
                timeout_graceful_shutdown=int(drain + LAST_WORDS) + 1,
            )
        )
        self._edge: Edge = app.state.edge
        self._drain = drain

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are `run_until_signal`'s; uvicorn would raise them again and die of them."""
        yield

    def stop(self) -> None:
        """Stops listening and begins the drain."""
        if not self.should_exit:
            log.info("draining", seconds=self._drain, in_flight=len(self._edge.lifetime))
            self.should_exit = True
            asyncio.get_running_loop().call_later(self._drain, self._edge.lifetime.expire)

    async def run_until_signal(self, listening: socket.socket) -> None:
        """Serves until SIGTERM or SIGINT and to the end of the drain."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        host, port = listening.getsockname()[:2]
        log.info("serving", address=f"{host}:{port}", port=port)
        await self.serve(sockets=[listening])
        log.info("stopped")

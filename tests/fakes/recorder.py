"""A proxy between a client and the gateway that keeps what was asked and what the answer said it cost."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# Seconds without a byte after which an answer is given up.
_PATIENCE = 90.0
# Of a request, what the other side must see.
_PASSED = ("content-type", "authorization", "x-session-id", "x-session-affinity", "x-parent-session-id")


@dataclass(frozen=True)
class Exchange:
    """One request and the usage that the end of its stream told; None if the client left before."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    usage: dict[str, Any] | None

    @property
    def is_side_request(self) -> bool:
        """A title or a summary: an agent's own requests offer tools."""
        return not self.body.get("tools")

    @property
    def prompt_tokens(self) -> int:
        assert self.usage is not None, "a stream without usage"
        return int(self.usage["prompt_tokens"])

    @property
    def cached_tokens(self) -> int:
        assert self.usage is not None, "a stream without usage"
        return int(self.usage["prompt_tokens_details"]["cached_tokens"])


class Recorder:
    """Passes everything on to `port` of loopback, chunk by chunk, and keeps the exchanges that have ended."""

    def __init__(self, port: int) -> None:
        self._upstream = port
        self._changed = threading.Condition()
        self._open = 0
        self._exchanges: list[Exchange] = []
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                recorder._pass_on(self)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing on the test's output."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def take(self) -> list[Exchange]:
        """What was asked since the last call; waits for what is under way, which the client may have left."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._open == 0, _PATIENCE), "an answer without end"
            taken, self._exchanges = self._exchanges, []
        return taken

    @contextlib.contextmanager
    def running(self) -> Iterator[Recorder]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def send(self, exchange: Exchange, body: dict[str, Any]) -> int:
        """Asks the gateway for `body` in the exchange's session, past the record; returns the status."""
        upstream = http.client.HTTPConnection("127.0.0.1", self._upstream, timeout=_PATIENCE)
        with contextlib.closing(upstream):
            upstream.request("POST", exchange.path, json.dumps(body).encode(), exchange.headers)
            response = upstream.getresponse()
            response.read()
            return response.status

    def _pass_on(self, handler: BaseHTTPRequestHandler) -> None:
        data = handler.rfile.read(int(handler.headers.get("content-length", 0)))
        headers = {name: handler.headers[name] for name in _PASSED if name in handler.headers}
        upstream = http.client.HTTPConnection("127.0.0.1", self._upstream, timeout=_PATIENCE)
        told = b""
        with self._changed:
            self._open += 1
        try:
            upstream.request("POST", handler.path, data, headers)
            response = upstream.getresponse()
            # HTTP/1.0: the end of the connection is the end of the stream.
            handler.send_response(response.status)
            handler.send_header("content-type", response.getheader("content-type", ""))
            handler.end_headers()
            while piece := response.read1(65_536):
                told += piece
                handler.wfile.write(piece)
        except ConnectionError:
            told = b""  # the client has left
        finally:
            upstream.close()
            with self._changed:
                self._exchanges.append(
                    Exchange(handler.path, headers, json.loads(data), _usage(told.decode()))
                )
                self._open -= 1
                self._changed.notify_all()


def _usage(stream: str) -> dict[str, Any] | None:
    """The usage of a stream of server-sent events."""
    lines = (line.removeprefix("data: ") for line in stream.splitlines() if line.startswith("data: {"))
    return next((found for line in lines if (found := json.loads(line).get("usage"))), None)

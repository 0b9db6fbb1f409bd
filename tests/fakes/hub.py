"""A Hugging Face hub on loopback: HEAD, GET with Range, etags, gated and missing files, broken connections.

`with Hub({"owner/repo": {"model.gguf": b"…"}}) as hub: … hub.endpoint`
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass(frozen=True)
class Seen:
    """A request that came in; `range` is the header's value or ""."""

    method: str
    path: str
    range: str
    authorized: bool


class Hub:
    """Serves the files of its repositories as the hub does: the address redirects to where the data lies.

    `break_after`: bytes after which a download's connection is cut, one entry per download.
    `gated`: repositories that want a token. `wrong`: file contents sent in place of the right ones.
    `ignores_ranges`: every download begins at the first byte. `etags_are_hashes` False: as for small files.
    """

    def __init__(self, repositories: Mapping[str, Mapping[str, bytes]]) -> None:
        self.repositories = repositories
        self.break_after: list[int] = []
        self.gated: set[str] = set()
        self.wrong: dict[str, bytes] = {}
        self.ignores_ranges = False
        self.etags_are_hashes = True
        self.seen: list[Seen] = []
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def downloads(self) -> list[Seen]:
        return [each for each in self.seen if each.method == "GET"]

    def __enter__(self) -> Hub:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Quiet."""

    def _answer(self, with_body: bool) -> None:
        hub = self.hub
        authorized = "Authorization" in self.headers
        hub.seen.append(Seen(self.command, self.path, self.headers.get("Range", ""), authorized))
        # /owner/repo/resolve/main/file leads to /data/owner/repo/file
        parts = self.path.strip("/").split("/")
        redirecting = parts[0] != "data"
        if not redirecting:
            parts = parts[1:]
        repository = "/".join(parts[:2])
        file = "/".join(parts[4:] if redirecting else parts[2:])
        if repository not in hub.repositories:
            return self._refuse(404, "RepoNotFound")
        if redirecting and repository in hub.gated and not authorized:
            return self._refuse(401, "GatedRepo")
        content = hub.repositories[repository].get(file)
        if content is None:
            return self._refuse(404, "EntryNotFound")
        if redirecting:
            return self._redirect(repository, file, content)
        return self._send(hub.wrong.get(file, content), with_body)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _redirect(self, repository: str, file: str, content: bytes) -> None:
        digest = hashlib.sha256(content).hexdigest()
        self.send_response(302)
        # Another host on purpose: credentials must not follow.
        self.send_header(
            "Location", f"{self.hub.endpoint.replace('127.0.0.1', 'localhost')}/data/{repository}/{file}"
        )
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("X-Linked-Size", str(len(content)))
        self.send_header("X-Linked-Etag", f'"{digest if self.hub.etags_are_hashes else digest[:40]}"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, content: bytes, with_body: bool) -> None:
        start = 0
        wanted = self.headers.get("Range", "")
        if wanted.startswith("bytes=") and not self.hub.ignores_ranges:
            start = int(wanted.removeprefix("bytes=").split("-")[0])
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        body = content[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not with_body:
            return
        if self.hub.break_after:
            body = body[: self.hub.break_after.pop(0)]
            self.close_connection = True
        self.wfile.write(body)

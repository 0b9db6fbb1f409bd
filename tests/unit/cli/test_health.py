"""Our own services are asked directly, and a broken answer is no answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from services.cli import health


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """The URL of a server that gives one answer."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        host, port = listening.getsockname()
        yield f"http://{host}:{port}/health"
        thread.join(10)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"a": true}', (200, {"a": True})),
        (b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\n{}", (503, {})),
        (b"HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\noops", (503, None)),
        (b"HTTP/1.1 503 No\r\nContent-Length: 90\r\n\r\n{", (503, None)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{", (0, None)),
        (b"220 mail.example ESMTP\r\n", (0, None)),
        (b"", (0, None)),
    ],
)
def test_an_answer_is_its_status_and_json(answer: bytes, expected: tuple[int, object]) -> None:
    with answering(answer) as url:
        assert health.http_json(url, timeout=5) == expected


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") as url:
        assert health.http_json(url, timeout=5) == (200, {})

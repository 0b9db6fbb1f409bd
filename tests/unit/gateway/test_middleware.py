import json
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from gateway.body import ClientGone
from gateway.middleware import HostGuard, RequestEdge, is_loopback
from services.common.logging import request_id


class Inner:
    """Answers 204 and remembers the request id in force; or raises."""

    def __init__(self, error: Exception | None = None, start_first: bool = False) -> None:
        self.error = error
        self.start_first = start_first
        self.seen: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(request_id.get())
        if self.error is None or self.start_first:
            await send({"type": "http.response.start", "status": 204, "headers": []})
        if self.error is not None:
            raise self.error
        await send({"type": "http.response.body", "body": b""})


async def call(app: Any, *headers: tuple[str, str], path: str = "/v1/models") -> list[Any]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError

    raw = [(name.encode(), value.encode()) for name, value in headers]
    await app({"type": "http", "method": "GET", "path": path, "headers": raw}, receive, send)
    return sent


def header(sent: list[Any], name: str) -> str:
    return str(dict(sent[0]["headers"])[name.encode()].decode())


@pytest.mark.parametrize("given", ["abc-1.2:3_4", "x" * 128])
async def test_a_sane_request_id_is_kept(given: str) -> None:
    inner = Inner()
    sent = await call(RequestEdge(inner), ("x-request-id", given))
    assert inner.seen == [header(sent, "x-request-id")] == [given]
    assert request_id.get() == ""


@pytest.mark.parametrize("given", [None, "", "a b", "x" * 129, "ü", 'a"b'])
async def test_any_other_request_gets_a_new_id(given: str | None) -> None:
    inner = Inner()
    sent = await call(RequestEdge(inner), *([] if given is None else [("x-request-id", given)]))
    assert inner.seen == [header(sent, "x-request-id")]
    assert len(inner.seen[0]) == 32


async def test_what_nobody_caught_is_a_500_without_its_inside() -> None:
    with capture_logs() as logs:
        sent = await call(RequestEdge(Inner(RuntimeError("secret"))))
    assert sent[0]["status"] == 500
    assert header(sent, "x-request-id")
    error = json.loads(sent[1]["body"])["error"]
    assert (error["type"], error["code"]) == ("server_error", "internal_error")
    assert "secret" not in error["message"]
    assert [entry["log_level"] for entry in logs] == ["error", "info"]


async def test_what_fails_after_the_start_cannot_be_answered_twice() -> None:
    with capture_logs(), pytest.raises(RuntimeError):
        await call(RequestEdge(Inner(RuntimeError("late"), start_first=True)))


async def test_a_client_that_left_is_only_logged() -> None:
    with capture_logs() as logs:
        sent = await call(RequestEdge(Inner(ClientGone())))
    assert sent == []
    assert [(entry["event"], entry["status"]) for entry in logs] == [("http", 499)]


async def test_health_checks_do_not_fill_the_log() -> None:
    structlog.reset_defaults()
    with capture_logs() as logs:
        await call(RequestEdge(Inner()), path="/v1/models")
        await call(RequestEdge(Inner(RuntimeError())), path="/health")
    assert [(entry["path"], entry["log_level"]) for entry in logs if entry["event"] == "http"] == [
        ("/v1/models", "info"),
        ("/health", "info"),
    ]


OURS = ["localhost", "LOCALHOST", "localhost.", "swarm.localhost", "127.0.0.1", "127.8.9.1", "::1"]
FOREIGN = [
    "example.com",
    "localhost.example.com",
    "192.168.1.5",
    "0.0.0.0",
    "2001:db8::1",
    "",
    "127.0.0.1.nip.io",
]


@pytest.mark.parametrize("host", OURS)
def test_names_of_the_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", FOREIGN)
def test_names_of_others(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([("host", "localhost:17615")], 204),
        ([("host", "127.0.0.1")], 204),
        ([("host", "[::1]:17615")], 204),
        ([("host", "box.lan:17615")], 204),
        ([("host", "BOX.lan")], 204),
        ([("host", "evil.example")], 403),
        ([("host", "evil.example@127.0.0.1")], 403),
        ([("host", "127.0.0.1@evil.example")], 403),
        ([("host", "[::1")], 403),
        ([("host", "")], 403),
        ([], 403),
        ([("host", "localhost"), ("host", "evil.example")], 403),
        ([("host", "localhost"), ("origin", "http://localhost:3000")], 204),
        ([("host", "localhost"), ("origin", "http://box.lan")], 204),
        ([("host", "localhost"), ("origin", "https://evil.example")], 403),
        ([("host", "localhost"), ("origin", "null")], 403),
    ],
)
async def test_only_this_machine_may_come_in(headers: list[tuple[str, str]], status: int) -> None:
    sent = await call(HostGuard(Inner(), ["box.lan", " ", ""]), *headers)
    assert sent[0]["status"] == status
    if status == 403:
        assert json.loads(sent[1]["body"])["error"]["code"] == "forbidden"

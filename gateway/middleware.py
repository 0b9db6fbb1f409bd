"""What happens around every HTTP request, before any route: its id, its line in the log, and whether it may
come in at all.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.body import ClientGone
from gateway.errors import error_response, internal_error
from services.common.errors import Reason, SwarmError
from services.common.logging import new_request_id, request_id

log = structlog.get_logger()

REQUEST_ID = "x-request-id"
# nginx's number for a client that left before it was answered; it stands in the log only.
CLIENT_GONE = 499

_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_NO_HOST = re.compile(r"[@/?#\\\s]")
_QUIET = frozenset({"/health", "/v1/health"})


class RequestEdge:
    """Outermost: gives the request its id (echoed in the response, sent along over RPC), logs one line, and
    turns what nobody caught into a 500 in OpenAI's form."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID, "")
        current = given if _SANE_ID.fullmatch(given) else new_request_id()
        token = request_id.set(current)
        started = time.monotonic()
        status = 0

        async def with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = current
            await send(message)

        try:
            await self.app(scope, receive, with_id)
        except ClientGone:
            status = CLIENT_GONE
        except Exception:
            log.exception("unexpected error", path=scope["path"])
            if status:
                raise
            await error_response(internal_error())(scope, receive, with_id)
        finally:
            write = log.debug if scope["path"] in _QUIET and status == 200 else log.info
            write(
                "http",
                method=scope["method"],
                path=scope["path"],
                status=status,
                seconds=round(time.monotonic() - started, 4),
            )
            request_id.reset(token)


class HostGuard:
    """Answers only to names of this machine.

    A page of a foreign site can make a browser call 127.0.0.1, or a name that has just been pointed at it
    (DNS rebinding). The first carries the site's Origin, the second its name as Host: both are refused.
    """

    def __init__(self, app: ASGIApp, allowed: Iterable[str] = ()) -> None:
        """`allowed` are further host names, without port."""
        self.app = app
        self._allowed = frozenset(name.strip().lower() for name in allowed) - {""}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (refusal := self._refuse(Headers(scope=scope))) is not None:
            await refusal(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _refuse(self, headers: Headers) -> Response | None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or _NO_HOST.search(hosts[0]) or not self._ours(f"//{hosts[0]}"):
            shown = ", ".join(hosts)[:100]
            return _forbidden(f"The Host header is {shown!r}, which is no name of this machine.")
        origin = headers.get("origin")
        if origin is not None and not self._ours(origin):
            return _forbidden(f"Requests from web pages of {origin[:100]!r} are not answered.")
        return None

    def _ours(self, url: str) -> bool:
        try:
            host = urlsplit(url).hostname
        except ValueError:
            return False
        return host is not None and (host in self._allowed or is_loopback(host))


def is_loopback(host: str) -> bool:
    """`localhost`, a name under it, or a loopback address, without port or brackets."""
    name = host.lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _forbidden(message: str) -> Response:
    return error_response(SwarmError(Reason.PERMISSION_DENIED, message))

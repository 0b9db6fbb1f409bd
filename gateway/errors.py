"""Errors as an OpenAI client reads them: `{"error": {message, type, param, code}}` and an HTTP status.

Domain errors are spelled by `services.common.errors.TABLE`. The few things that only HTTP knows (no such
path, wrong method, too large a body, a media type that is not JSON) are spelled here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from services.common.errors import Reason, SwarmError

log = structlog.get_logger()

_HTTP_CODES: Mapping[int, str] = {
    400: "bad_request",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "request_too_large",
    415: "unsupported_media_type",
}


def error_object(error: SwarmError) -> dict[str, Any]:
    """The body for `error`; also the payload of an error event inside a stream."""
    spelling = error.spelling
    return {
        "error": {
            "message": error.message,
            "type": spelling.openai_type,
            "param": error.param,
            "code": spelling.openai_code,
        }
    }


def retry_headers(error: SwarmError) -> dict[str, str]:
    """`Retry-After` in whole seconds (rounded up, at least 1) and its exact form in milliseconds."""
    if error.retry_after is None:
        return {}
    return {
        "retry-after": str(max(1, math.ceil(error.retry_after))),
        "retry-after-ms": str(max(1, math.ceil(error.retry_after * 1000))),
    }


def error_response(error: SwarmError) -> Response:
    return json_response(error_object(error), error.spelling.http, retry_headers(error))


def http_error_response(
    status: int, message: str, param: str | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """An error that HTTP alone knows of."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    code = _HTTP_CODES.get(status, HTTPStatus(status).phrase.lower().replace(" ", "_"))
    body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return json_response(body, status, headers)


def json_response(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON as UTF-8 without blanks. NaN and lone surrogates raise: neither may leave the gateway."""
    text = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(text.encode(), status, dict(headers or {}), media_type="application/json")


def internal_error() -> SwarmError:
    return SwarmError(Reason.INTERNAL, "internal error in the gateway; its log has the details")


def install(app: FastAPI) -> None:
    """Every refusal of `app`, FastAPI's own included, gets OpenAI's form."""
    app.add_exception_handler(SwarmError, _on_swarm_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_validation_error)


async def _on_swarm_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, SwarmError)
    return error_response(error)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = error.detail
    if error.status_code == 404 and message == HTTPStatus.NOT_FOUND.phrase:
        message = f"Unknown request URL: {request.method} {request.url.path}."
    elif error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        message = f"Not allowed: {request.method} {request.url.path} (allowed: {allowed})."
    return http_error_response(error.status_code, message, headers=error.headers)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    param = ".".join(str(part) for part in first["loc"][1:]) or None
    return error_response(SwarmError(Reason.INVALID_FIELD, f"{param}: {first['msg']}", param=param))

import json

import pytest

from gateway.errors import error_response, http_error_response, json_response
from gateway.schemas.answers import Error
from services.common.errors import TABLE, Reason, SwarmError


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_openais_form(reason: Reason) -> None:
    response = error_response(SwarmError(reason, "what and why", param="x"))
    assert response.status_code == TABLE[reason].http
    body = Error.model_validate_json(bytes(response.body)).error
    assert (body.message, body.param) == ("what and why", "x")
    assert (body.type, body.code) == (TABLE[reason].openai_type, TABLE[reason].openai_code)
    assert "retry-after" not in response.headers


@pytest.mark.parametrize(
    ("seconds", "whole", "exact"),
    [(0.0, "1", "1"), (0.2, "1", "200"), (2.0, "2", "2000"), (2.1, "3", "2100")],
)
def test_retry_after_is_rounded_up(seconds: float, whole: str, exact: str) -> None:
    headers = error_response(SwarmError(Reason.QUEUE_FULL, "full", retry_after=seconds)).headers
    assert (headers["retry-after"], headers["retry-after-ms"]) == (whole, exact)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "not_found", "invalid_request_error"),
        (405, "method_not_allowed", "invalid_request_error"),
        (413, "request_too_large", "invalid_request_error"),
        (415, "unsupported_media_type", "invalid_request_error"),
        (418, "i'm_a_teapot", "invalid_request_error"),
        (501, "not_implemented", "server_error"),
    ],
)
def test_http_errors_have_the_same_form(status: int, code: str, kind: str) -> None:
    response = http_error_response(status, "no")
    assert response.status_code == status
    assert json.loads(bytes(response.body)) == {
        "error": {"message": "no", "type": kind, "param": None, "code": code}
    }


def test_json_that_no_client_could_read_is_not_sent() -> None:
    with pytest.raises(ValueError):
        json_response({"a": float("nan")})

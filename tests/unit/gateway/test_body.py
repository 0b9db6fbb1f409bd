import json
from typing import Any

import pytest
from fastapi import Request
from starlette.exceptions import HTTPException

from gateway.body import ClientGone, parse_object, read_body
from services.common.errors import Reason, SwarmError


def request(headers: dict[str, str], *parts: bytes, gone: bool = False) -> tuple[Request, list[int]]:
    """A request whose body comes in `parts`; the list counts how many of them were read."""
    read: list[int] = []

    async def receive() -> dict[str, Any]:
        if len(read) == len(parts) and gone:
            return {"type": "http.disconnect"}
        body = parts[len(read)]
        read.append(len(body))
        return {"type": "http.request", "body": body, "more_body": gone or len(read) < len(parts)}

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": raw}, receive), read


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"{", "line 1, column 2"),
        (b'{"a": 1,}', "not valid JSON"),
        (b'{"a": 1} x', "not valid JSON"),
        (b"[]", "JSON array"),
        (b'"text"', "JSON string"),
        (b"12", "JSON integer"),
        (b"null", "JSON null"),
        (b"true", "JSON boolean"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "-Infinity"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "'c' stands more than once"),
        (b'{"a": "\xff"}', "UTF-8 (byte 7)"),
        ("\ufeff{}".encode(), "not valid JSON"),
        (json.dumps({"a": 1}).encode("utf-16"), "UTF-8"),
        (b'{"a": "\x00"}', "not valid JSON"),
        (b'{"a": ' + b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 200_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "number that is too long"),
    ],
)
def test_what_is_no_json_object_is_refused_in_words(raw: bytes, says: str) -> None:
    with pytest.raises(SwarmError) as refused:
        parse_object(raw)
    assert refused.value.reason is Reason.INVALID_FIELD
    assert says in refused.value.message


def test_an_object_is_read_whole() -> None:
    value = {"a": [1, 2.5, None, True, "é\u2028\0😀"], "b": {"c": {}}}
    assert parse_object(json.dumps(value).encode()) == value
    assert parse_object(json.dumps(value, ensure_ascii=False).encode()) == value


def test_half_a_character_in_running_text_becomes_a_replacement_character() -> None:
    raw = rb'{"messages": [{"content": "cut \ud83d"}, {"content": [{"text": "\ude00 \ud83d\ude00"}]}]}'
    assert parse_object(raw) == {"messages": [{"content": "cut �"}, {"content": [{"text": "� 😀"}]}]}


@pytest.mark.parametrize(
    ("raw", "param"),
    [
        (rb'{"model": "\ud800"}', "model"),
        (rb'{"stop": ["a", "\udfff"]}', "stop[1]"),
        (rb'{"messages": [{"role": "\ud800"}]}', "messages[0].role"),
        (rb'{"content": "\ud800"}', "content"),
        (rb'{"tools": [{"\ud800": 1}]}', "tools[0].�"),
    ],
)
def test_half_a_character_elsewhere_is_refused_by_name(raw: bytes, param: str) -> None:
    with pytest.raises(SwarmError) as refused:
        parse_object(raw)
    assert refused.value.param == param


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "application/json"},
        {"content-type": "Application/JSON; charset=UTF-8"},
        {"content-type": 'application/json; charset="utf-8"'},
        {"content-type": "application/vnd.openai+json"},
        {"content-type": "application/json", "content-encoding": "identity"},
    ],
)
async def test_json_is_read(headers: dict[str, str]) -> None:
    got, _ = request(headers, b'{"a"', b": 1}")
    assert await read_body(got, 100) == b'{"a": 1}'


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": ""},
        {"content-type": "application/json; charset=latin-1"},
        {"content-type": "application/json", "content-encoding": "gzip"},
    ],
)
async def test_other_media_types_are_refused(headers: dict[str, str]) -> None:
    got, _ = request(headers, b"{}")
    with pytest.raises(HTTPException) as refused:
        await read_body(got, 100)
    assert refused.value.status_code == 415


@pytest.mark.parametrize("length", ["101", "9" * 40])
async def test_a_declared_length_above_the_limit_is_refused_unread(length: str) -> None:
    got, read = request({"content-length": length}, b"x" * 101)
    with pytest.raises(HTTPException) as refused:
        await read_body(got, 100)
    assert refused.value.status_code == 413
    assert read == []


async def test_an_undeclared_length_above_the_limit_stops_the_reading() -> None:
    got, read = request({}, *[b"x" * 30] * 10)
    with pytest.raises(HTTPException) as refused:
        await read_body(got, 100)
    assert refused.value.status_code == 413
    assert len(read) == 4


async def test_a_body_of_exactly_the_limit_is_read() -> None:
    got, _ = request({"content-length": "100"}, b"x" * 100)
    assert len(await read_body(got, 100)) == 100


async def test_a_client_that_leaves_within_its_body_is_told_apart() -> None:
    got, _ = request({}, b"{", gone=True)
    with pytest.raises(ClientGone):
        await read_body(got, 100)

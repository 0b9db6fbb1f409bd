"""The raw HTTP body to a JSON object, with errors of our own: whatever a client sends, it gets a 400.

Stricter than `json.loads`: no NaN or Infinity, no key twice in one object, UTF-8 only.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any, NoReturn

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from services.common.errors import Reason, SwarmError, invalid

_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
# Where running text may stand. A client that cuts text at a number of UTF-16 units can cut a character
# in two; refusing the half would refuse the whole conversation for good.
_RUNNING_TEXT = frozenset({"content", "text", "reasoning_content", "arguments"})


class ClientGone(Exception):
    """The client closed its connection; there is nobody to answer."""


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body. Raises HTTPException 413 (as soon as it is known) or 415, or ClientGone."""
    _check_media_type(request)
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:19]) > limit:
        raise _too_large(limit)
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > limit:
                raise _too_large(limit)
            parts.append(part)
    except ClientDisconnect as error:
        raise ClientGone from error
    return b"".join(parts)


def parse_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in `raw`. Raises SwarmError INVALID_FIELD for anything else."""
    if not raw.strip():
        raise _broken("the body is empty; a JSON object is expected")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _broken(f"the body is not valid UTF-8 (byte {error.start})") from error
    try:
        value = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise _broken(
            f"the body is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        ) from error
    except RecursionError as error:
        raise _broken("the body is nested too deeply") from error
    except ValueError as error:
        # Python refuses to read integers of thousands of digits.
        raise _broken("the body has a number that is too long") from error
    if not isinstance(value, dict):
        raise _broken(f"the body is a JSON {json_type(value)}; an object is expected")
    if _SURROGATE_ESCAPE.search(text):
        _mend_surrogates(value)
    return value


def json_type(value: Any) -> str:
    """What JSON calls the type of `value`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    names = {dict: "object", list: "array", str: "string", int: "integer", float: "number"}
    return names.get(type(value), type(value).__name__)


def _check_media_type(request: Request) -> None:
    given = request.headers.get("content-type", "application/json")
    kind, _, parameters = given.partition(";")
    kind = kind.strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise HTTPException(415, f"Content-Type is {given!r}; application/json is expected.")
    charset = re.search(r'charset="?([^";\s]+)', parameters, re.IGNORECASE)
    if charset and charset[1].lower() not in ("utf-8", "utf8", "us-ascii"):
        raise HTTPException(415, f"The body's charset is {charset[1]!r}; utf-8 is expected.")
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", ""):
        raise HTTPException(415, f"Content-Encoding {encoding!r} is not supported; send the body as it is.")


def _too_large(limit: int) -> HTTPException:
    # What is left of the body is not read, so the connection cannot be used again.
    return HTTPException(
        413, f"The body is larger than {limit} bytes (setting max_body).", {"connection": "close"}
    )


def _broken(what: str) -> SwarmError:
    return SwarmError(Reason.INVALID_FIELD, f"Could not parse the request: {what}.")


def _refuse_constant(name: str) -> NoReturn:
    raise _broken(f"{name} is not valid JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise _broken(f"the key {twice[:80]!r} stands more than once in an object")
    return table


def _mend_surrogates(body: dict[str, Any]) -> None:
    """Half a character in a message's text becomes U+FFFD, as in any UTF-8; elsewhere it is refused."""
    stack: list[tuple[str, Any]] = [("", body)]
    while stack:
        path, node = stack.pop()
        entries = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in list(entries):
            where = f"{path}[{key}]" if isinstance(key, int) else f"{path}.{key}".lstrip(".")
            if isinstance(key, str) and _LONE_SURROGATE.search(key):
                shown = _LONE_SURROGATE.sub("\ufffd", where)
                raise invalid(shown[:200], f"'{shown[:200]}' has half a surrogate pair in its name")
            if isinstance(value, dict | list):
                stack.append((where, value))
            elif isinstance(value, str) and _LONE_SURROGATE.search(value):
                if key not in _RUNNING_TEXT or not where.startswith("messages["):
                    raise invalid(where, f"'{where}' has half a surrogate pair")
                node[key] = _LONE_SURROGATE.sub("\ufffd", value)

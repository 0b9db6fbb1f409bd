from __future__ import annotations

from typing import Any

import pytest

from services.common.errors import Reason, SwarmError
from services.tool_server.arguments import parse_arguments
from services.tool_server.tools.read import Read

SCHEMA = Read(1000).parameters


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"path": "a"}', {"path": "a"}),
        ('{"path": "a", "offset": 3, "limit": 1}', {"path": "a", "offset": 3, "limit": 1}),
        ('{"path": "a", "offset": 2.0}', {"path": "a", "offset": 2.0}),
    ],
)
def test_what_fits(text: str, expected: dict[str, Any]) -> None:
    assert parse_arguments("read", text, SCHEMA) == expected


@pytest.mark.parametrize(
    ("text", "param", "words"),
    [
        ("", "path", "read needs the argument path; given: none; known: path, offset, limit"),
        ("{}", "path", "needs the argument path"),
        ('{"filePath": "a"}', "path", "given: filePath"),
        ('{"path": 7}', "path", "7 is not of type 'string'"),
        ('{"path": null}', "path", "None is not of type 'string'"),
        ('{"path": "a", "offset": 0}', "offset", "less than the minimum of 1"),
        ('{"path": "a", "offset": "3"}', "offset", "is not of type 'integer'"),
        ('{"path": "a", "offset": true}', "offset", "is not of type 'integer'"),
        ('{"path": "a", "offset": 1.5}', "offset", "is not of type 'integer'"),
        (
            '{"path": "a", "encoding": "x"}',
            "encoding",
            "has no argument encoding; known: path, offset, limit",
        ),
        ('{"path": "a"', "arguments", "no JSON"),
        ('{"path": "a", "offset": NaN}', "arguments", "NaN"),
        ('{"path": "a", "offset": -Infinity}', "arguments", "Infinity"),
        ("[1]", "arguments", "no JSON object"),
        ('"path"', "arguments", "no JSON object"),
        ("[" * 100_000, "arguments", "no JSON"),
        ('{"path": "a", "offset": ' + "9" * 5000 + "}", "arguments", "no JSON"),
    ],
)
def test_what_does_not_fit_is_named(text: str, param: str, words: str) -> None:
    with pytest.raises(SwarmError) as caught:
        parse_arguments("read", text, SCHEMA)
    assert (caught.value.reason, caught.value.param) == (Reason.INVALID_FIELD, param)
    assert words in caught.value.message


def test_a_huge_wrong_value_does_not_come_back_whole() -> None:
    with pytest.raises(SwarmError) as caught:
        parse_arguments("read", '{"path": ["' + "x" * 100_000 + '"]}', SCHEMA)
    assert len(caught.value.message) < 500

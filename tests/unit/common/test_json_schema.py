"""Arguments against a tool's schema; what a request's tools may hold is in the tests of consensus."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.common.json_schema import schema_check

NESTED: dict[str, Any] = {
    "type": "object",
    "properties": {
        "edits": {"type": "array", "items": {"$ref": "#/$defs/edit"}},
        "mode": {"enum": ["fast", "safe"]},
        "at": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    },
    "required": ["edits"],
    "additionalProperties": False,
    "$defs": {"edit": {"type": "object", "required": ["old"], "properties": {"old": {"type": "string"}}}},
}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"edits": []}, None),
        ({"edits": [{"old": "a"}], "mode": "fast", "at": None}, None),
        ({}, "arguments: 'edits' is a required property"),
        ({"edits": [{"old": "a"}, {"old": 5}]}, "edits[1].old: 5 is not of type 'string'"),
        ({"edits": [], "mode": "slow"}, "mode: 'slow' is not one of"),
        ({"edits": [], "at": "x"}, "at: 'x' is not valid under any of"),
        ({"edits": [], "more": 1}, "arguments: Additional properties are not allowed"),
    ],
)
def test_the_problem_names_its_place(arguments: dict[str, Any], words: str | None) -> None:
    problem = schema_check(json.dumps(NESTED)).problem(arguments)
    assert problem is None if words is None else problem is not None and problem.startswith(words)


def test_a_long_value_is_cut_out_of_the_problem() -> None:
    problem = schema_check('{"properties": {"a": {"type": "integer"}}}').problem({"a": "x" * 100_000})
    assert problem is not None
    assert len(problem) <= 200


def test_without_a_schema_any_object_will_do() -> None:
    assert schema_check("").problem({"a": 1}) is None
    assert schema_check("").problem([1]) is not None
    assert schema_check("").properties == frozenset()


@pytest.mark.parametrize("text", ["{", "[]", '{"type": "strin"}', '{"$ref": "http://127.0.0.1:1/s.json"}'])
def test_what_cannot_be_applied_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        schema_check(text)

"""Types from schemas, and raw text to JSON by them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.inference_worker.chat.json_scan import is_json
from services.inference_worker.chat.values import ANY, declared_types, escape, to_json

ROOT = {
    "$defs": {
        "count": {"type": "integer"},
        "loop": {"$ref": "#/$defs/loop"},
        "a/b": {"type": "boolean"},
        "maybe": {"anyOf": [{"$ref": "#/$defs/count"}, {"type": "null"}]},
    },
    "definitions": {"name": {"type": "string"}},
}


@pytest.mark.parametrize(
    ("schema", "types"),
    [
        ({"type": "string"}, {"string"}),
        ({"type": ["integer", "null"]}, {"integer", "null"}),
        ({"type": "string", "nullable": True}, {"string", "null"}),
        ({"anyOf": [{"type": "array"}, {"type": "string"}]}, {"array", "string"}),
        ({"oneOf": [{"type": "number"}, {"type": "null"}]}, {"number", "null"}),
        ({"allOf": [{"type": ["string", "integer"]}, {"type": "integer"}]}, {"integer"}),
        ({"allOf": [{"description": "x"}, {"type": "object"}]}, {"object"}),
        ({"enum": ["a", 1, 1.5, None, True]}, {"string", "integer", "number", "null", "boolean"}),
        ({"const": {"a": 1}}, {"object"}),
        ({"const": [1]}, {"array"}),
        ({"$ref": "#/$defs/count"}, {"integer"}),
        ({"$ref": "#/$defs/maybe"}, {"integer", "null"}),
        ({"$ref": "#/$defs/a~1b"}, {"boolean"}),
        ({"$ref": "#/definitions/name"}, {"string"}),
        ({"$ref": "#/$defs/loop"}, ANY),
        ({"$ref": "#/nowhere/at/all"}, ANY),
        ({"$ref": "other.json"}, ANY),
        ({"properties": {}}, {"object"}),
        ({"items": {}}, {"array"}),
        ({"description": "anything"}, ANY),
        ({"type": "str"}, ANY),
        ({"type": []}, ANY),
        ({"type": ["string", 7]}, {"string"}),
        (True, ANY),
        ({}, ANY),
    ],
)
def test_declared_types(schema: object, types: set[str]) -> None:
    assert declared_types(schema, ROOT) == types


@pytest.mark.parametrize(
    ("raw", "types", "expected"),
    [
        ("007", "string", "007"),
        ("true", "string", "true"),
        (" 5\n", "string", " 5\n"),
        ("5", "integer", 5),
        (" -12 ", "integer", -12),
        ("5.0", "integer", 5),
        ("5.5", "integer", "5.5"),
        ("007", "integer", "007"),
        ("٣", "integer", "٣"),
        ("1e3", "number", 1000.0),
        ("1.5", "number", 1.5),
        (".5", "number", ".5"),
        ("NaN", "number", "NaN"),
        ("true", "boolean", True),
        ("False", "boolean", False),
        ("1", "boolean", "1"),
        ("null", "null", None),
        ("None", "null", None),
        ("", "null", ""),
        ("[1, 2]", "array", [1, 2]),
        ("[1, 2", "array", "[1, 2"),
        ("['a']", "array", "['a']"),
        ('{"a": {"b": []}}', "object", {"a": {"b": []}}),
        ('{"a": 1}', "array", '{"a": 1}'),
        ('{"a": NaN}', "object", '{"a": NaN}'),
        ("null", "string null", None),
        ("nothing", "string null", "nothing"),
        ("5", "string integer", 5),
        ("05", "string integer", "05"),
        ("true", "integer string boolean", True),
        ("a", "integer boolean", "a"),
    ],
)
def test_a_value_takes_the_declared_type_or_stays_as_it_is(raw: str, types: str, expected: object) -> None:
    value = json.loads(to_json(raw, frozenset(types.split())))
    assert value == expected
    assert type(value) is type(expected)


def test_very_long_numbers_are_no_trouble() -> None:
    assert to_json("9" * 10_000, frozenset({"integer"})) == "9" * 10_000


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.text(), st.text(), st.sets(st.sampled_from(sorted(ANY)), min_size=1))
def test_the_result_is_json_and_pieces_add_up(one: str, other: str, types: set[str]) -> None:
    assert is_json(to_json(one, frozenset(types)))
    assert json.loads(f'"{escape(one)}{escape(other)}"') == one + other

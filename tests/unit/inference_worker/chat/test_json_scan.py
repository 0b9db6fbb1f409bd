"""The incremental scanner against the standard library's parser."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.inference_worker.chat.json_scan import MAX_DEPTH, JsonScanner, ScanState, is_json

STEADY = settings(derandomize=True, deadline=None, max_examples=400)


def scan(pieces: list[str]) -> tuple[ScanState, int]:
    """The final state and how many characters were consumed."""
    scanner = JsonScanner()
    consumed = 0
    for piece in pieces:
        consumed += scanner.feed(piece)
    return scanner.finish(), consumed


def refuse(constant: str) -> None:
    raise ValueError(constant)


def parses(text: str) -> bool:
    try:
        json.loads(text, parse_constant=refuse)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    "text",
    ["{}", "[]", '""', "0", "-0", "-0.5", "12", "1e5", "1E+5", "1.25e-3", "true", "false", "null", '{"a": 1}',
     ' \t\r\n{ "a" : [ 1 , { } , [ ] , "x" ] , "" : null } ',
     '"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9"', '"\\ud83d\\ude00"',
     '"é😀\u2028\x7f"'],
)  # fmt: skip
def test_values(text: str) -> None:
    assert is_json(text)
    assert parses(text)
    assert scan(list(text.strip()))[0] is ScanState.COMPLETE


@pytest.mark.parametrize(
    ("text", "consumed"),
    [
        ("{,", 1), ("[1,]", 3), ('{"a":1,}', 7), ("{a:1}", 1), ("{'a':1}", 1), ('{"a" 1}', 5), ('{"a":}', 5),
        ("[1 2]", 3), ("[1}", 2), ('{"a":1]', 6), ("01", 1), ("-", 1), ("+1", 0), (".5", 0), ("1.e5", 2),
        ("1e", 2), ("--1", 1), ("tru", 3), ("truE", 3), ("nul1", 3), ("NaN", 0), ("Infinity", 0), ("True", 0),
        ('"a\nb"', 2), ('"\t"', 1), ('"\\x"', 2), ('"\\u00g0"', 5), ('"a', 2),
        ('"\\ud83d"', 7), ('"\\ud83dx"', 7),
        ('"\\ud83d\\n"', 8), ('"\\ude00"', 6), ('"\ud800"', 1), ("// no", 0), ("", 0), ("{", 1),
    ],
)  # fmt: skip
def test_the_first_wrong_character_is_refused(text: str, consumed: int) -> None:
    assert not is_json(text)
    whole, by_character = scan([text]), scan(list(text))
    assert whole[0] == by_character[0]
    if text != "01":  # one whole value, and then something else
        assert whole[0] is not ScanState.COMPLETE
    scanner = JsonScanner()
    assert scanner.feed(text) == consumed


@pytest.mark.parametrize(
    ("text", "length"), [("{} {}", 2), ("[1]x", 3), ('"a"b', 3), ("12}", 2), ("truefalse", 4)]
)
def test_what_follows_the_value_is_not_consumed(text: str, length: int) -> None:
    scanner = JsonScanner()
    assert scanner.feed(text) == length
    assert scanner.state is ScanState.COMPLETE
    assert scanner.feed(text) == 0


def test_nesting_has_a_limit() -> None:
    assert is_json("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert not is_json("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))


TOKENS = st.sampled_from(
    [
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        '"',
        '"a"',
        "\\",
        "\\u0041",
        "1",
        "-",
        "0",
        ".",
        "e",
        "true",
        "null",
        " ",
        "\n",
        "é",
    ]
)


@STEADY
@given(st.lists(TOKENS, max_size=12).map("".join))
def test_it_agrees_with_the_standard_library(text: str) -> None:
    assert is_json(text) == parses(text)
    assert scan([text]) == scan(list(text))


@STEADY
@given(
    st.recursive(st.none() | st.integers() | st.text(max_size=8), st.lists, max_leaves=8)
    | st.dictionaries(st.text(), st.text())
)
def test_it_takes_what_the_standard_library_writes(value: object) -> None:
    for ascii_only in (True, False):
        assert is_json(json.dumps(value, ensure_ascii=ascii_only, indent=1))

"""The text that tells a model of its tools is short, and stays short for any tools."""

from __future__ import annotations

import json
import random
import string
from importlib import resources

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.chat import Tool
from services.inference_worker.chat import instructions as package
from services.inference_worker.chat.formats import FORMATS
from services.inference_worker.chat.instructions import BUDGET, estimate, instructions, tool_list
from services.inference_worker.chat.spelling import spell
from tests.fakes.tokens import count
from tests.unit.inference_worker.chat.reading import STRING

TEXT = resources.files(package).joinpath("tool_line.txt").read_text(encoding="utf-8")
CALL = spell(FORMATS["tool_line"], "name", '{"parameter": "value"}')
INTEGER = {"type": "integer"}


def tool(name: str, description: str, required: dict[str, object], **optional: object) -> Tool:
    schema = {"type": "object", "properties": {**required, **optional}, "required": list(required)}
    return Tool(name, description, json.dumps(schema))


THREE = (
    tool("bash", "Runs a command in a shell", {"command": STRING}, timeout=INTEGER),
    tool("read", "Reads a file", {"filePath": STRING}, offset=INTEGER, limit=INTEGER),
    tool(
        "edit",
        "Replaces text in a file",
        {"filePath": STRING, "oldString": STRING, "newString": STRING},
        replaceAll={"type": "boolean"},
    ),
)


def whole(tools: tuple[Tool, ...]) -> str:
    return instructions(TEXT, tools, CALL)


def test_tokens_are_counted_with_a_real_vocabulary() -> None:
    assert count("") == 0
    assert count("Hello, world") == 3
    assert count("a" * 1000) > 10
    assert count("<s>[INST]") > 2  # text, never special tokens


def test_three_typical_tools_take_a_hundred_tokens_at_most() -> None:
    text = whole(THREE)
    assert text == (
        "Tools:\n"
        "bash(command, timeout?: integer): Runs a command in a shell\n"
        "read(filePath, offset?: integer, limit?: integer): Reads a file\n"
        "edit(filePath, oldString, newString, replaceAll?: boolean): Replaces text in a file\n"
        "To call one, end your answer with:\n"
        "TOOL: name\n"
        'ARGUMENTS: {"parameter": "value"}'
    )
    assert count(text) <= 100


def test_nor_do_three_tools_of_an_agent_take_more() -> None:
    tools = (
        tool(
            "bash",
            "Runs a given shell command in a session that persists, with an optional timeout.\n\nBefore …",
            {"command": STRING},
            timeout=INTEGER,
            workdir=STRING,
        ),
        tool(
            "read",
            "Gives the contents of a file of the local file system. Any file can be read. …",
            {"filePath": STRING},
            offset=INTEGER,
            limit=INTEGER,
        ),
        tool(
            "edit",
            "Replaces exact strings in files, which must have been read before, at least once. …",
            {"filePath": STRING, "oldString": STRING, "newString": STRING},
            replaceAll={"type": "boolean"},
        ),
    )
    assert count(whole(tools)) <= 100


def test_long_descriptions_do_not_make_three_tools_long() -> None:
    long = tuple(
        Tool(each.name, each.description + ". " + "More about it, at length. " * 500, each.parameters_json)
        for each in THREE
    )
    assert whole(long) == whole(THREE)


def test_descriptions_are_cut_at_a_word() -> None:
    line = tool_list([Tool("a", "word " * 100)])
    assert line == "a(): " + " ".join(["word"] * 10) + "…"
    assert tool_list([Tool("a", "x" * 300)]) == f"a(): {'x' * 50}…"


@pytest.mark.parametrize(
    ("schema", "signature"),
    [
        ({"type": "string"}, "p?"),
        ({}, "p?"),
        ({"type": "number"}, "p?: number"),
        ({"type": ["string", "null"]}, "p?"),
        ({"type": ["null", "integer"]}, "p?: integer"),
        ({"enum": ["on", "off", 3]}, 'p?: "on"|"off"|3'),
        ({"enum": list(range(50)), "type": "integer"}, "p?: integer"),
        ({"type": "array"}, "p?: array"),
        ({"type": "array", "items": {"type": "integer"}}, "p?: [integer]"),
        ({"type": "object"}, "p?: object"),
        (
            {"type": "object", "properties": {"a": STRING, "b": INTEGER}, "required": ["a"]},
            "p?: {a, b?: integer}",
        ),
        ({"type": "array", "items": {"type": "object", "properties": {"a": STRING}}}, "p?: [{a?}]"),
        ([1], "p?"),
        ({"type": 7, "enum": "x"}, "p?"),
    ],
)
def test_signatures(schema: object, signature: str) -> None:
    schema_text = json.dumps({"type": "object", "properties": {"p": schema}})
    assert tool_list([Tool("t", "", schema_text)]) == f"t({signature})"


@pytest.mark.parametrize(
    "schema", ["", "[]", "7", "{", '{"properties": [1]}', '{"required": "x"}', "[" * 100_000]
)
def test_what_is_no_schema_is_a_tool_without_parameters(schema: str) -> None:
    assert tool_list([Tool("t", "d", schema)]) == "t(): d"


def test_long_lists_lose_words_before_they_lose_tools() -> None:
    def many(number: int) -> list[Tool]:
        words = "Does something that takes a while to tell and is told at some length"
        return [tool(f"tool_{i}", words, {"path": STRING}, depth=INTEGER) for i in range(number)]

    seen = []
    for number in (10, 45, 60, 110, 150):
        lines = tool_list(many(number)).split("\n")
        assert len(lines) == number
        seen.append(lines[0])
    assert seen == [
        "tool_0(path, depth?: integer): Does something that takes a while to tell and is…",
        "tool_0(path, depth?: integer): Does something that…",
        "tool_0(path, depth?: integer)",
        "tool_0(path)",
        "tool_0",
    ]
    lines = tool_list(many(1000)).split("\n")
    assert lines[-1] == f"({1000 - len(lines) + 1} more)"
    assert lines[-2] == f"tool_{len(lines) - 2}"


def nasty(seed: int) -> tuple[Tool, ...]:
    """Random tools whose names and words are as hard for a vocabulary as can be."""
    draw = random.Random(seed)
    alphabets = (
        string.ascii_lowercase,
        string.ascii_letters + string.digits + "_-",
        "qxzjkvwQXZJKVW",
        "漢字仮名交じり文👩‍🚀ßéñ",
        string.punctuation,
        " \t\n",
        "".join(chr(draw.randrange(0x100, 0xD000)) for _ in range(200)),
    )

    def text(longest: int) -> str:
        alphabet = draw.choice(alphabets)
        return "".join(draw.choice(alphabet) for _ in range(draw.randrange(longest)))

    return tuple(
        tool(text(64), text(400), {text(30): STRING for _ in range(draw.randrange(6))}, **{text(9): INTEGER})
        for _ in range(draw.choice((1, 10, 100, 1000)))
    )


@pytest.mark.parametrize("seed", range(60))
def test_no_set_of_tools_takes_more_than_two_thousand_tokens(seed: int) -> None:
    assert count(whole(nasty(seed))) <= 2000


@given(
    st.lists(
        st.builds(
            Tool,
            st.text(max_size=80),
            st.text(max_size=300),
            st.dictionaries(st.text(max_size=40), st.just(STRING), max_size=9).map(
                lambda properties: json.dumps({"properties": properties, "required": list(properties)})
            ),
        ),
        max_size=60,
    )
)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_nor_does_any_other(tools: list[Tool]) -> None:
    assert estimate(tool_list(tools)) <= BUDGET
    assert count(whole(tuple(tools)).encode("utf-8", "replace").decode()) <= 2000


def test_one_tool_with_a_giant_schema_stays_small() -> None:
    giant = tool("giant", "x" * 100_000, {f"parameter_{i}": STRING for i in range(5000)})
    assert tool_list([giant]) == "giant"
    deep: dict[str, object] = STRING
    for _ in range(100):
        deep = {"type": "object", "properties": {"inner": deep}}
    assert tool_list([tool("deep", "", {"p": deep})]) == "deep(p: {inner?: {inner?: object}})"


def test_the_users_own_words_stay_as_they_are() -> None:
    text = 'Use these {"not": "a placeholder"} {other}:\n{tools}\nso: {call}\n'
    assert instructions(text, [Tool("a", "{call} {tools}")], "CALL") == (
        'Use these {"not": "a placeholder"} {other}:\na(): {call} {tools}\nso: CALL'
    )

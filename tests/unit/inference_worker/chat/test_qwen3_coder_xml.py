"""Calls whose name and raw, untyped values stand between markers."""

from __future__ import annotations

import json

import pytest

from services.common.chat import FinishReason, ToolCallArguments, ToolCallStarted
from services.inference_worker.chat.formats import QWEN3_CODER_XML
from services.inference_worker.chat.machine import PushMachine
from tests.unit.inference_worker.chat.reading import STRING, TOOLS, Call, Reading, read, tool


def function(name: str, **values: str) -> str:
    """A call as the format's template prints it, without the outer tags."""
    parameters = "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in values.items())
    return f"<function={name}>\n{parameters}</function>"


def block(name: str, **values: str) -> str:
    return f"<tool_call>\n{function(name, **values)}\n</tool_call>"


LS = block("bash", command="ls")
LS_CALL = ("bash", {"command": "ls"})


@pytest.mark.parametrize(
    ("text", "calls", "content"),
    [
        (LS, [LS_CALL], ""),
        ("I look.\n\n" + LS, [LS_CALL], "I look."),
        (LS + "\nDone.", [LS_CALL], "Done."),
        ("One.\n" + LS + "\nTwo.", [LS_CALL], "One.\nTwo."),
        (LS + "\n" + LS, [LS_CALL, LS_CALL], ""),
        (f"<tool_call>\n{function('bash', command='ls')}\n{function('read', filePath='a')}\n</tool_call>",
         [LS_CALL, ("read", {"filePath": "a"})], ""),
        (function("bash", command="ls"), [LS_CALL], ""),
        (function("bash", command="ls") + "\n</tool_call>", [LS_CALL], ""),
        ("Look: " + function("bash", command="ls") + "\n</tool_call>\nSo.", [LS_CALL], "Look:\nSo."),
        ("<tool_call>\n<function=bash>\n<parameter=command>\nls\n</parameter>\n</function>", [LS_CALL], ""),
        ("<tool_call>\n<function=bash>\n<parameter=command>\nls\n</parameter>\n</tool_call>", [LS_CALL], ""),
        ("<tool_call>\n<function=bash>\n<parameter=command>\nls\n</parameter>\n", [LS_CALL], ""),
        ("<tool_call>\n<function=bash>\n<parameter=command>\nls\n</parameter>\n" + LS, [LS_CALL] * 2, ""),
        ("<tool_call>\n<function=bash>\n<parameter=command>\nls\n</function>\n</tool_call>", [LS_CALL], ""),
        ("<tool_call>\n<function=bash>\n<parameter=command>\nls\n</function>", [LS_CALL], ""),
        ("<tool_call><function=bash><parameter=command>ls</parameter></function></tool_call>", [LS_CALL], ""),
        ("<tool_call>\n<function=bash>\n<parameter=command>\nls</parameter></function></tool_call>",
         [LS_CALL], ""),
        ("<tool_call>\n<function=bash>\n<parameter=command>\nls</parameter>\n</function>\n</tool_call>",
         [LS_CALL], ""),
        ('<tool_call>\n<function="Bash">\n<parameter="command">\nls\n</parameter>\n</function>\n</tool_call>',
         [LS_CALL], ""),
        (LS + "</function></tool_call>\n</tool_call>", [LS_CALL], ""),
        (LS + "\n<tool_call>", [LS_CALL], ""),
        (block("list_files"), [("list_files", {})], ""),
        (function("list_files"), [("list_files", {})], ""),
        (block("frobnicate", x="1"), [("frobnicate", {"x": "1"})], ""),
        (block("functions.bash", command="ls"), [LS_CALL], ""),
    ],
)  # fmt: skip
def test_calls_and_prose(text: str, calls: list[object], content: str) -> None:
    reading = read(QWEN3_CODER_XML, text)
    assert reading.whole_calls() == calls
    assert len(reading.calls) == len(calls)
    assert reading.content == content
    assert reading.reason is FinishReason.TOOL_CALLS


VALUES = [
    "",
    "\n",
    "\n\n",
    "\nx\n",
    "  indented\n",
    "007",
    "true",
    "null",
    "5",
    '{"a": 1}',
    'say "hi" \\ \\n \t end',
    "a </parameter> b",
    "a\n</parameter>\nb",
    "</parameter>",
    "</function>",
    "</tool_call>",
    "\n</tool_call>\n",
    "</parameter></function></tool_call> inline in code",
    "x = '</parameter>\n'",
    "<parameter=command>",
    "<tool_call>\n<function=read>",
    "a\n</function>\nb",
    "an example:\n<parameter=x>\n1\n</parameter>\n</function>",
    "<div>\n  <p>{x} && y</p>\n</div>",
    "é ü 漢字 😀 \u2028 \x00",
    "<think>no</think>",
    "ends with a lesser <",
    "ends with </param",
    "\r\ndos\r\n",
]


@pytest.mark.parametrize("value", VALUES)
def test_a_string_stays_as_it_is(value: str) -> None:
    reading = read(QWEN3_CODER_XML, block("bash", command=value))
    assert reading.whole_calls() == [("bash", {"command": value})]
    assert reading.content == ""
    tight = f"<tool_call><function=write><parameter=x>a{value}b</parameter></function></tool_call>"
    if not value.startswith("\n") and "</parameter>" not in value:
        assert read(QWEN3_CODER_XML, tight).whole_calls() == [("write", {"x": f"a{value}b"})]


def test_exactly_one_newline_on_each_side_is_markup() -> None:
    text = (
        "<tool_call>\n<function=bash>\n<parameter=command>\n\nls\n\n</parameter>\n</function>\n</tool_call>"
    )
    assert read(QWEN3_CODER_XML, text).whole_calls() == [("bash", {"command": "\nls\n"})]
    empty = "<tool_call>\n<function=bash>\n<parameter=command>\n</parameter>\n</function>\n</tool_call>"
    assert read(QWEN3_CODER_XML, empty).whole_calls() == [("bash", {"command": ""})]


@pytest.mark.parametrize(
    ("schema", "raw", "expected"),
    [
        (STRING, "5", "5"),
        ({"type": "integer"}, "5", 5),
        ({"type": "integer"}, "five", "five"),
        ({"type": "boolean"}, "True", True),
        ({"type": "array"}, '["a", {"b": 1}]', ["a", {"b": 1}]),
        ({"type": "array"}, "a, b", "a, b"),
        ({"type": "object"}, '{\n  "a": [1]\n}', {"a": [1]}),
        ({"type": ["string", "null"]}, "null", None),
        ({"type": ["string", "null"]}, "nullable", "nullable"),
    ],
)
def test_the_schema_decides_on_the_type(schema: object, raw: str, expected: object) -> None:
    reading = read(QWEN3_CODER_XML, block("act", value=raw, after="x"), (tool("act", value=schema),))
    assert reading.whole_calls() == [("act", {"value": expected, "after": "x"})]


@pytest.mark.parametrize(
    "text",
    [
        "Use <function=bash> to call it.",
        "The syntax is <tool_call> and then <function=name>.",
        "<tool_call> alone",
        "Close it with </parameter> and </function>.",
        "a <function= b",
        "<function=bash> and then <parameter=command> follows",
        "<function=bash>",
        '<tool_call>\n{"name": "bash", "arguments": {}}\n</tool_call>',
        "<function=>\n</function>",
        "<function=a<b>\n</function>",
        "  blanks \n",
    ],
)
def test_what_is_no_call_stays_text(text: str) -> None:
    assert read(QWEN3_CODER_XML, text) == Reading(content=text)


@pytest.mark.parametrize(
    "body",
    [
        "<parameter=command>\nls\n</parameter>\n<parameter=command>\nrm\n</parameter>\n</function>",
        "ls\n</function>",
        "<parameter=>\nls\n</parameter>\n</function>",
        "<parameter=a\n>\nls\n</parameter>\n</function>",
    ],
)
def test_a_call_that_breaks_never_ends(body: str) -> None:
    reading = read(QWEN3_CODER_XML, f"<tool_call>\n<function=bash>\n{body}\n</tool_call>")
    assert [(call.name, call.ended) for call in reading.calls] == [("bash", False)]
    assert reading.content == ""
    assert reading.reason is FinishReason.LENGTH


def test_every_truncation_is_cut_off_and_never_completed() -> None:
    text = block("bash", command="ls", timeout="5")
    whole = text.index("</function>") + len("</function>")
    for end in range(len("<tool_call>"), len(text)):
        reading = read(QWEN3_CODER_XML, text[:end], cut_off=True)
        assert reading.reason is FinishReason.LENGTH
        assert reading.content == ""
        assert bool(reading.whole_calls()) == (end >= whole)


def test_a_cut_behind_a_parameter_is_no_end() -> None:
    text = "<tool_call>\n<function=bash>\n<parameter=command>\nls\n</parameter>\n"
    assert read(QWEN3_CODER_XML, text, cut_off=True).calls == [Call("bash", '{"command":"ls"')]


def test_a_string_streams_while_it_is_generated() -> None:
    machine = PushMachine(QWEN3_CODER_XML, TOOLS, 0, new_id=lambda: "call_x")
    assert machine.feed("<tool_call>\n<function=bash>") == [ToolCallStarted(0, 0, "call_x", "bash")]
    assert machine.feed("\n<parameter=command>") == [ToolCallArguments(0, 0, '{"command":"')]
    assert machine.feed("\necho") == [ToolCallArguments(0, 0, "echo")]
    assert machine.feed(' "x"\n') == [ToolCallArguments(0, 0, ' \\"x\\"')]
    assert machine.feed("y") == [ToolCallArguments(0, 0, "\\ny")]
    assert machine.feed("\n</parameter>\n") == []
    assert machine.feed("<parameter=timeout>") == [ToolCallArguments(0, 0, '","timeout":')]


def test_without_tools_nothing_becomes_a_call() -> None:
    assert read(QWEN3_CODER_XML, LS, tools=()) == Reading(content=LS)


def test_types_come_from_the_offered_tool_even_when_its_name_is_mended() -> None:
    reading = read(QWEN3_CODER_XML, block("functions.Bash", timeout="5", other="5"))
    assert [json.loads(call.arguments) for call in reading.calls] == [{"timeout": 5, "other": "5"}]

"""Calls in plain lines, for models that have no format of their own."""

from __future__ import annotations

import json

import pytest

from services.common.chat import FinishReason, Tool, ToolCallArguments, ToolCallEnded, ToolCallStarted
from services.inference_worker.chat.formats import FORMATS
from services.inference_worker.chat.machine import PushMachine
from tests.unit.inference_worker.chat.reading import Call, Reading, read

TOOL_LINE = FORMATS["tool_line"]


def strict(name: str, required: tuple[str, ...] = (), **properties: object) -> Tool:
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }
    return Tool(name, parameters_json=json.dumps(schema))


TOOLS = (
    strict("bash", ("command",), command={"type": "string"}, timeout={"type": "integer"}),
    strict("read", ("filePath",), filePath={"type": "string"}),
    strict("list_files"),
)
ARGUMENTS = '{"command": "ls"}'
LS = f"TOOL: bash\nARGUMENTS: {ARGUMENTS}"
LS_CALL = Call("bash", ARGUMENTS, True)
READ = 'TOOL: read\nARGUMENTS: {"filePath": "a"}'
READ_CALL = Call("read", '{"filePath": "a"}', True)


def called(*calls: Call, content: str = "") -> Reading:
    return Reading(content=content, calls=list(calls), reason=FinishReason.TOOL_CALLS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (LS, called(LS_CALL)),
        (LS + "\n", called(LS_CALL)),
        ("\n" + LS, called(LS_CALL)),
        ("I look.\n" + LS, called(LS_CALL, content="I look.")),
        ("I look.\n\n" + LS + "\n\nDone.", called(LS_CALL, content="I look.\n\nDone.")),
        (LS + "\n" + READ, called(LS_CALL, READ_CALL)),
        (LS + "\n\n" + READ, called(LS_CALL, READ_CALL)),
        ("TOOL: list_files\nARGUMENTS: {}", called(Call("list_files", "{}", True))),
        ("TOOL:bash\nARGUMENTS:" + ARGUMENTS, called(LS_CALL)),
        ("TOOL: bash \r\nARGUMENTS: " + ARGUMENTS + "\r\n", called(LS_CALL)),
        ("TOOL: `bash`\nARGUMENTS:\n" + ARGUMENTS, called(LS_CALL)),
        ("TOOL: Bash\nARGUMENTS: " + ARGUMENTS, called(LS_CALL)),
        ("TOOL: functions.bash\nARGUMENTS: " + ARGUMENTS, called(LS_CALL)),
    ],
)
def test_calls_and_prose(text: str, expected: Reading) -> None:
    assert read(TOOL_LINE, text, TOOLS) == expected


@pytest.mark.parametrize(
    "value",
    [
        "TOOL: bash\nARGUMENTS: {}",
        'if (a) { b("}"); } // \\ \\n "quoted"',
        "<div>\n  <p>{x} && y</p>\n</div>",
        "é ü 漢字 😀 \u2028 \x00",
        "<tool_call></tool_call>",
        "",
    ],
)
def test_a_value_may_contain_anything(value: str) -> None:
    for ascii_only in (True, False):
        arguments = json.dumps({"command": value}, ensure_ascii=ascii_only)
        text = f"TOOL: bash\nARGUMENTS: {arguments}"
        assert read(TOOL_LINE, text, TOOLS) == called(Call("bash", arguments, True))
    arguments = json.dumps({"command": value}, indent=2)
    assert read(TOOL_LINE, f"TOOL: bash\nARGUMENTS: {arguments}", TOOLS) == called(
        Call("bash", arguments, True)
    )


@pytest.mark.parametrize(
    "text",
    [
        "TOOL: frobnicate\nARGUMENTS: {}",
        'TOOL: bash\nARGUMENTS: {"cmd": "ls"}',
        "TOOL: bash\nARGUMENTS: {}",
        'TOOL: bash\nARGUMENTS: {"command": 5}',
        'TOOL: bash\nARGUMENTS: {"command": "ls", "more": 1}',
        "TOOL: name\nARGUMENTS: {…}",
        "TOOL: bash\nARGUMENTS: [1]",
        "TOOL: bash\nARGUMENTS: ls",
        'TOOL: bash\nARGUMENTS: {"command": "l\ns"}',
        "TOOL: bash\nARGUMENTS: {'command': 'ls'}",
        "TOOL: bash",
        "TOOL: bash\n",
        "TOOL: bash\nThe argument is a command.",
        "TOOL: bash and more\nARGUMENTS: " + ARGUMENTS,
        "TOOL: bash ARGUMENTS: " + ARGUMENTS,
        "TOOL:\nARGUMENTS: " + ARGUMENTS,
        "The best TOOL: bash\nARGUMENTS: " + ARGUMENTS,
        "`TOOL: bash`\n`ARGUMENTS: {}`",
        "tool: bash\narguments: " + ARGUMENTS,
        "TOOLS: bash\nARGUMENTS: " + ARGUMENTS,
        "ARGUMENTS: " + ARGUMENTS,
        "TOOL: " + "x" * 300 + "\nARGUMENTS: {}",
        "  blanks \n",
    ],
)
def test_what_is_no_call_stays_text(text: str) -> None:
    assert read(TOOL_LINE, text, TOOLS) == Reading(content=text)
    assert read(TOOL_LINE, f"So:\n{text}\nEnd.", TOOLS) == Reading(content=f"So:\n{text}\nEnd.")


def test_prose_between_does_not_hide_a_call() -> None:
    text = "TOOL: name\nARGUMENTS: {…}\nthat is the form.\n" + LS
    expected = called(LS_CALL, content="TOOL: name\nARGUMENTS: {…}\nthat is the form.")
    assert read(TOOL_LINE, text, TOOLS) == expected


def test_no_truncation_makes_a_call() -> None:
    for end in range(1, len(LS)):
        reading = read(TOOL_LINE, "Look.\n" + LS[:end], TOOLS, cut_off=True)
        assert reading.calls == []
        assert reading.reason is FinishReason.LENGTH
        assert reading.content.startswith("Look.")
    assert read(TOOL_LINE, LS, TOOLS, cut_off=True).calls == [LS_CALL]


def test_a_call_is_told_when_it_is_whole() -> None:
    machine = PushMachine(TOOL_LINE, TOOLS, 0, new_id=lambda: "call_x")
    assert machine.feed("TOOL: bash\nARGUMENTS: " + ARGUMENTS[:-1]) == []
    assert machine.feed("}") == [
        ToolCallStarted(0, 0, "call_x", "bash"),
        ToolCallArguments(0, 0, ARGUMENTS),
        ToolCallEnded(0, 0),
    ]


def test_without_tools_nothing_becomes_a_call() -> None:
    assert read(TOOL_LINE, LS, tools=()) == Reading(content=LS)


def test_one_call_at_most_where_calls_are_not_parallel() -> None:
    assert read(TOOL_LINE, LS + "\n" + READ, TOOLS, parallel=False).calls == [LS_CALL]

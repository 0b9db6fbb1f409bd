"""Calls with a bare name, and with markers around each key and each raw value."""

from __future__ import annotations

import pytest

from services.common.chat import FinishReason, ToolCallArguments, ToolCallEnded, ToolCallStarted
from services.inference_worker.chat.formats import FORMATS
from services.inference_worker.chat.machine import PushMachine
from tests.unit.inference_worker.chat.reading import STRING, TOOLS, Call, Reading, read, tool

GLM4 = FORMATS["glm4"]


def on_lines(name: str, **values: str) -> str:
    """A call as GLM 4.5 and 4.6 print it."""
    pairs = "".join(
        f"<arg_key>{key}</arg_key>\n<arg_value>{value}</arg_value>\n" for key, value in values.items()
    )
    return f"<tool_call>{name}\n{pairs}</tool_call>"


def tight(name: str, **values: str) -> str:
    """A call as GLM 4.7 prints it."""
    pairs = "".join(
        f"<arg_key>{key}</arg_key><arg_value>{value}</arg_value>" for key, value in values.items()
    )
    return f"<tool_call>{name}{pairs}</tool_call>"


LS, TIGHT = on_lines("bash", command="ls"), tight("bash", command="ls")
LS_CALL = ("bash", {"command": "ls"})
KEY = "<arg_key>command</arg_key>"


@pytest.mark.parametrize(
    ("text", "calls", "content"),
    [
        (LS, [LS_CALL], ""),
        (TIGHT, [LS_CALL], ""),
        ("I look.\n\n" + LS, [LS_CALL], "I look."),
        (LS + "\nDone.", [LS_CALL], "Done."),
        ("One.\n" + TIGHT + "\nTwo.", [LS_CALL], "One.\nTwo."),
        (LS + "\n" + LS, [LS_CALL, LS_CALL], ""),
        (TIGHT + TIGHT + TIGHT, [LS_CALL] * 3, ""),
        (on_lines("list_files"), [("list_files", {})], ""),
        (tight("list_files"), [("list_files", {})], ""),
        ("<tool_call>\nlist_files\n</tool_call>", [("list_files", {})], ""),
        (f"<tool_call>bash\n{KEY}\n<arg_value>\nls\n</arg_value>\n</tool_call>", [LS_CALL], ""),
        (f"<tool_call>bash\n{KEY}\n<arg_value>ls</arg_value>\n", [LS_CALL], ""),
        (f"<tool_call>bash{KEY}<arg_value>ls</arg_value>", [LS_CALL], ""),
        (f"<tool_call>bash\n{KEY}\n<arg_value>ls</arg_value>\n" + LS, [LS_CALL] * 2, ""),
        (f"<tool_call>bash\n{KEY}\n<arg_value>ls\n</tool_call>", [LS_CALL], ""),
        (f"<tool_call>bash{KEY}ls</arg_value></tool_call>", [LS_CALL], ""),
        (f"<tool_call>bash{KEY}</arg_key><arg_value>ls</arg_value></tool_call>", [LS_CALL], ""),
        ('<tool_call>\n{"name": "bash", "arguments": {"command": "ls"}}\n</tool_call>', [LS_CALL], ""),
        (LS + "\n</tool_call>", [LS_CALL], ""),
        (LS + "\n<tool_call>", [LS_CALL], ""),
        (on_lines("Bash", command="ls"), [LS_CALL], ""),
        (on_lines("functions.bash", command="ls"), [LS_CALL], ""),
        (on_lines("frobnicate", x="1"), [("frobnicate", {"x": "1"})], ""),
        (on_lines("bash", command="ls", timeout="5"), [("bash", {"command": "ls", "timeout": 5})], ""),
    ],
)
def test_calls_and_prose(text: str, calls: list[object], content: str) -> None:
    reading = read(GLM4, text)
    assert reading.whole_calls() == calls
    assert len(reading.calls) == len(calls)
    assert reading.content == content
    assert reading.reason is FinishReason.TOOL_CALLS


@pytest.mark.parametrize(
    "value",
    [
        "",
        "  indented",
        "007",
        "true",
        "null",
        "5",
        '{"a": 1}',
        'say "hi" \\ \\n \t end',
        "a </arg_value> b",
        "a\n</arg_value>\nb",
        "</arg_value>",
        "</tool_call>",
        "a\n</tool_call>\nb",
        "</arg_key>",
        "<arg_key>command</arg_key>\n<arg_value>ls",
        "<tool_call>read\n<arg_key>",
        "an example:\n<tool_call>read\n<arg_key>x</arg_key>\n<arg_value>1</arg_value>\n</tool_call>",
        "<div>\n  <p>{x} && y</p>\n</div>",
        "é ü 漢字 😀 \u2028 \x00",
        "<think>no</think>",
        "<|user|><|observation|>",
        "ends with a lesser <",
        "ends with </arg_val",
        "first\n\nlast",
        "\r",
    ],
)
def test_a_string_stays_as_it_is(value: str) -> None:
    for spelling in (on_lines, tight):
        for text, calls in [
            (spelling("bash", command=value), 1),
            (spelling("bash", command=value) + "\n" + spelling("bash", command=value), 2),
        ]:
            reading = read(GLM4, text)
            assert reading.whole_calls() == [("bash", {"command": value})] * calls
            assert reading.content == ""
    between = read(GLM4, tight("write", a="x", b=value, c="y")).whole_calls()
    assert between == [("write", {"a": "x", "b": value, "c": "y"})]


def test_exactly_one_newline_on_each_side_is_markup() -> None:
    for raw, value in [
        ("\nls\n", "ls"),
        ("\n\nls\n\n", "\nls\n"),
        ("ls\n", "ls"),
        ("\nls", "ls"),
        ("\n", ""),
        ("\n  a\n  b", "  a\n  b"),
    ]:
        for spelling in (on_lines, tight):
            assert read(GLM4, spelling("bash", command=raw)).whole_calls() == [("bash", {"command": value})]
            both = read(GLM4, spelling("write", x=raw, y="z")).whole_calls()
            assert both == [("write", {"x": value, "y": "z"})]


@pytest.mark.parametrize(
    ("schema", "raw", "expected"),
    [
        (STRING, "5", "5"),
        ({"type": "integer"}, "5", 5),
        ({"type": "integer"}, "five", "five"),
        ({"type": "boolean"}, "True", True),
        ({"type": "array"}, '["a", {"b": 1}]', ["a", {"b": 1}]),
        ({"type": "object"}, '{\n  "a": ["</arg_value>"]\n}', {"a": ["</arg_value>"]}),
        ({"type": ["string", "null"]}, "null", None),
        ({"type": ["string", "null"]}, "nullable", "nullable"),
    ],
)
def test_the_schema_decides_on_the_type(schema: object, raw: str, expected: object) -> None:
    for spelling in (on_lines, tight):
        reading = read(GLM4, spelling("act", value=raw, after="x"), (tool("act", value=schema),))
        assert reading.whole_calls() == [("act", {"value": expected, "after": "x"})]


@pytest.mark.parametrize(
    "text",
    [
        "The tag is <tool_call> and it is closed by </tool_call>.",
        "The opener is <tool_call>",
        "<tool_call> alone",
        "Use `<tool_call>` and `<arg_key>`.",
        "<tool_call>name\nis the head",
        "<arg_key>command</arg_key>\n<arg_value>ls</arg_value>",
        "a < b, <tool and <tool_cal",
        "<tool_call>two words\n<arg_key>a</arg_key>",
        "<tool_call>\n</tool_call>",
        "<tool_call>" + "x" * 300,
        "  blanks \n",
    ],
)
def test_what_is_no_call_stays_text(text: str) -> None:
    assert read(GLM4, text) == Reading(content=text)


@pytest.mark.parametrize(
    "body",
    [
        "<arg_key></arg_key>\n<arg_value>ls</arg_value>\n",
        "<arg_key>a\nb</arg_key>\n<arg_value>ls</arg_value>\n",
        "<arg_key><arg_key>a</arg_key>\n<arg_value>ls</arg_value>\n",
        f"{KEY}\n<arg_value>ls</arg_value>\n{KEY}\n<arg_value>rm</arg_value>\n",
    ],
)
def test_a_call_that_breaks_never_ends(body: str) -> None:
    reading = read(GLM4, f"<tool_call>bash\n{body}</tool_call>")
    assert [(call.name, call.ended) for call in reading.calls] == [("bash", False)]
    assert reading.content == ""
    assert reading.reason is FinishReason.LENGTH
    following = read(GLM4, f"<tool_call>bash\n{body}</tool_call>\n{LS}")
    assert following.whole_calls() == [LS_CALL]
    assert following.content == ""


@pytest.mark.parametrize("spelling", [on_lines, tight])
def test_every_truncation_is_cut_off_and_never_completed(spelling: object) -> None:
    text = spelling("bash", command="ls", timeout="5")  # type: ignore[operator]
    for end in range(len("<tool_call>"), len(text)):
        reading = read(GLM4, text[:end], cut_off=True)
        assert reading.reason is FinishReason.LENGTH
        assert reading.content == ""
        assert reading.whole_calls() == []
    assert read(GLM4, text, cut_off=True).whole_calls() == [("bash", {"command": "ls", "timeout": 5})]


def test_a_cut_completes_no_value_either() -> None:
    reading = read(GLM4, f"<tool_call>bash\n{KEY}\n<arg_value>cat <<E\n</tool_call>", cut_off=True)
    assert reading.whole_calls() == []
    assert reading.reason is FinishReason.LENGTH


def test_a_model_that_stops_inside_a_call_has_been_cut_off_too() -> None:
    reading = read(GLM4, f"<tool_call>bash\n{KEY}\n<arg_value>rm -rf /tmp/x")
    assert reading == Reading(calls=[Call("bash", '{"command":"rm -rf /tmp/x')], reason=FinishReason.LENGTH)


def test_a_string_streams_while_it_is_generated() -> None:
    machine = PushMachine(GLM4, TOOLS, 0, new_id=lambda: "call_x")
    assert machine.feed("<tool_call>bash\n") == []
    assert machine.feed("<arg_key>") == [ToolCallStarted(0, 0, "call_x", "bash")]
    assert machine.feed("command</arg") == []
    assert machine.feed("_key>\n") == [ToolCallArguments(0, 0, '{"command":"')]
    assert machine.feed("<arg_value>echo") == [ToolCallArguments(0, 0, "echo")]
    assert machine.feed(' "x"\n') == [ToolCallArguments(0, 0, ' \\"x\\"')]
    assert machine.feed("y</arg_value>\n") == [ToolCallArguments(0, 0, "\\ny")]
    assert machine.feed("<arg_key>timeout</arg_key>") == [ToolCallArguments(0, 0, '","timeout":')]
    assert machine.feed("\n<arg_value>5</arg_value>\n</tool_call>") == []
    assert machine.feed("\n<tool_call>") == [ToolCallArguments(0, 0, "5}"), ToolCallEnded(0, 0)]


def test_reasoning_and_calls() -> None:
    reading = read(GLM4, f"<think>Hm. <tool_call>x</think>\n{LS}")
    assert (reading.reasoning, reading.whole_calls(), reading.content) == ("Hm. <tool_call>x", [LS_CALL], "")
    opened = read(GLM4, f"Hm.</think>{TIGHT}", prompt_tail="<|assistant|>\n<think>")
    assert (opened.reasoning, opened.whole_calls(), opened.content) == ("Hm.", [LS_CALL], "")


def test_without_tools_nothing_becomes_a_call() -> None:
    assert read(GLM4, LS, tools=()) == Reading(content=LS)


def test_one_call_at_most_where_calls_are_not_parallel() -> None:
    assert read(GLM4, LS + LS, parallel=False).whole_calls() == [LS_CALL]


def test_the_next_turns_role_is_no_content() -> None:
    assert read(GLM4, LS + "\n<|observation|>").content == ""
    assert read(GLM4, "Done.<|user|>").content == "Done."
    assert read(GLM4, "Done.<|endoftext|>", tools=()).content == "Done."

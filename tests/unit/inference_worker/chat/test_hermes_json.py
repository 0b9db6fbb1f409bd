"""Calls written as one JSON object between tags."""

from __future__ import annotations

import json

import pytest

from services.common.chat import FinishReason, ToolCallArguments, ToolCallEnded, ToolCallStarted
from services.inference_worker.chat.formats import HERMES_JSON
from services.inference_worker.chat.machine import PushMachine
from tests.unit.inference_worker.chat.reading import TOOLS, Call, Reading, read

LS = '{"name": "bash", "arguments": {"command": "ls"}}'
LS_CALL = Call("bash", '{"command": "ls"}', True)
CALL = f"<tool_call>\n{LS}\n</tool_call>"


def called(*calls: Call, content: str = "") -> Reading:
    return Reading(content=content, calls=list(calls), reason=FinishReason.TOOL_CALLS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (CALL, called(LS_CALL)),
        ("I look.\n" + CALL, called(LS_CALL, content="I look.")),
        (CALL + "\nDone.", called(LS_CALL, content="Done.")),
        ("One.\n\n" + CALL + "\nTwo.", called(LS_CALL, content="One.\nTwo.")),
        (CALL + "\n" + CALL, called(LS_CALL, LS_CALL)),
        (f"<tool_call>\n{LS}\n{LS}\n</tool_call>", called(LS_CALL, LS_CALL)),
        (f"<tool_call>{LS}</tool_call>", called(LS_CALL)),
        (f"<tool_call>\n{LS}", called(LS_CALL)),
        (f"<tool_call>\n{LS}\n<tool_call>\n{LS}", called(LS_CALL, LS_CALL)),
        (f"<tool_call>\n{LS}\nDone.", called(LS_CALL, content="Done.")),
        (CALL + "\n</tool_call>\n", called(LS_CALL)),
        (CALL + "<tool_call>", called(LS_CALL)),
        (f"<tool_call>\n{LS}}}\n</tool_call>", called(LS_CALL)),
        (f"<tool_call>\n{LS}\nDone.</tool_call>\nYes.", called(LS_CALL, content="Done.\nYes.")),
    ],
    ids=[
        "plain", "prose before", "prose after", "prose around", "two blocks", "two in one block", "tight",
        "no closer", "openers only", "no closer, prose", "doubled closer", "opener as closer",
        "doubled brace", "late closer",
    ],
)  # fmt: skip
def test_calls_and_prose(text: str, expected: Reading) -> None:
    assert read(HERMES_JSON, text) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"name": "bash", "arguments": {}}', Call("bash", "{}", True)),
        ('{"name": "bash", "arguments": { }}', Call("bash", "{ }", True)),
        ('{"name": "bash"}', Call("bash", "{}", True)),
        ('{"name": "bash", "arguments": null}', Call("bash", "{}", True)),
        ('{"name": "bash", "arguments": ""}', Call("bash", "{}", True)),
        ('{"arguments": {"command": "ls"}, "name": "bash"}', LS_CALL),
        ('{"name": "bash", "parameters": {"command": "ls"}}', LS_CALL),
        ('{"name":"bash","arguments":{"command":"ls"}}', Call("bash", '{"command":"ls"}', True)),
        (' { "name" :\t"bash" ,\r\n"arguments" : {"command": "ls"} } ', LS_CALL),
        ('{"name": "bash", "arguments": "{\\"command\\": \\"ls\\"}"}', LS_CALL),
        ('{"arguments": "{\\"command\\": \\"ls\\"}", "name": "bash"}', LS_CALL),
        ('{"id": 7, "name": "bash", "extra": [1, {"a": null}], "arguments": {"command": "ls"}}', LS_CALL),
        ('{"name": "Bash", "arguments": {"command": "ls"}}', LS_CALL),
        ('{"name": "functions.bash", "arguments": {"command": "ls"}}', LS_CALL),
        ('{"name": "frobnicate", "arguments": {"x": 1}}', Call("frobnicate", '{"x": 1}', True)),
        ('{"na\\u006de": "b\\u0061sh", "arguments": {"command": "ls"}}', LS_CALL),
        ('{"name": "bash", "arguments": {"a": {"b": [1, -2.5e3, true]}}}',
         Call("bash", '{"a": {"b": [1, -2.5e3, true]}}', True)),
    ],
)  # fmt: skip
def test_the_object_in_all_its_spellings(body: str, expected: Call) -> None:
    assert read(HERMES_JSON, f"<tool_call>\n{body}\n</tool_call>") == called(expected)


@pytest.mark.parametrize(
    "value",
    [
        "</tool_call>",
        "\n</tool_call>\n<tool_call>\n",
        '{"name": "read", "arguments": {}}',
        'if (a) { b("}"); } // \\ \\n "quoted"',
        "<think>not this</think>",
        "é ü 漢字 😀 \u2028 \x00",
        "</parameter></function>",
    ],
)
def test_a_value_may_contain_anything(value: str) -> None:
    for ascii_only in (True, False):
        arguments = json.dumps({"command": value}, ensure_ascii=ascii_only)
        text = f'<tool_call>\n{{"name": "bash", "arguments": {arguments}}}\n</tool_call>'
        assert read(HERMES_JSON, text) == called(Call("bash", arguments, True))


@pytest.mark.parametrize(
    "text",
    [
        "The tag is <tool_call> and it is closed by </tool_call>.",
        "The opener is <tool_call>",
        "a < b, <tool and <tool_cal",
        '{"name": "bash", "arguments": {"command": "ls"}}',
        '```json\n{"name": "bash", "arguments": {}}\n```',
        "<tool_call>\nls -la\n</tool_call>",
        '<tool_call>\n{"nome": "bash"}\n</tool_call>',
        '<tool_call>\n{"name": 7, "arguments": {}}\n</tool_call>',
        '<tool_call>\n{"name": "", "arguments": {}}\n</tool_call>',
        "<tool_call>\n{'name': 'bash'}\n</tool_call>",
        '<tool_call>\n{name: "bash"}\n</tool_call>',
        '<tool_call>\n["bash"]\n</tool_call>',
        '<tool_call>\n{"arguments": [1], "name": "bash"}\n</tool_call>',
        '<tool_call>\n{"arguments": {"a": 1,}, "name": "bash"}\n</tool_call>',
        "  leading and trailing blanks stay \n\n",
        "",
    ],
)
def test_what_is_no_call_stays_text(text: str) -> None:
    assert read(HERMES_JSON, text) == Reading(content=text)


@pytest.mark.parametrize(
    "body",
    [
        '{"name": "bash", "arguments": {"command": ls}}',
        '{"name": "bash", "arguments": {"command": "print("hi")"}}',
        '{"name": "bash", "arguments": {"command": "a\nb"}}',
        '{"name": "bash", "arguments": {"command": "a"},}',
        '{"name": "bash", "arguments": [1]}',
        '{"name": "bash", "arguments": "not json"}',
        '{"name": "bash", "arguments": "[1]"}',
        '{"name": "bash", "arguments": {}, "arguments": {}}',
        '{"name": "bash", "name": "read", "arguments": {}}',
        '{"name": "bash", "arguments": {"command": "\\ud800"}}',
        '{"name": "bash", "arguments": {"command": NaN}}',
    ],
)
def test_a_call_that_breaks_never_ends(body: str) -> None:
    reading = read(HERMES_JSON, f"<tool_call>\n{body}\n</tool_call>")
    assert reading.content == ""
    assert [(call.name, call.ended) for call in reading.calls] == [("bash", False)]
    assert reading.reason is FinishReason.LENGTH


def test_behind_a_broken_call_the_next_one_counts() -> None:
    broken = '<tool_call>\n{"name": "bash", "arguments": {"command": oops}}\n</tool_call>\n'
    reading = read(HERMES_JSON, broken + CALL + "\nSo.")
    assert [call.ended for call in reading.calls] == [False, True]
    assert reading.content == "So."
    assert reading.reason is FinishReason.TOOL_CALLS


def test_every_truncation_is_cut_off_and_never_completed() -> None:
    for end in range(len("<tool_call>"), len(CALL)):
        reading = read(HERMES_JSON, CALL[:end], cut_off=True)
        whole = end >= CALL.index(LS) + len(LS)
        assert reading.reason is FinishReason.LENGTH
        assert reading.content == ""
        assert len(reading.calls) == int(end >= CALL.index('", "arg') + 1)
        assert bool(reading.whole_calls()) == whole


def test_a_model_that_stops_inside_a_call_has_been_cut_off_too() -> None:
    reading = read(HERMES_JSON, '<tool_call>\n{"name": "bash", "arguments": {"command": "rm')
    assert reading == Reading(calls=[Call("bash", '{"command": "rm')], reason=FinishReason.LENGTH)


def test_a_whole_call_before_a_cut_one_stays_whole() -> None:
    reading = read(HERMES_JSON, CALL + '\n<tool_call>\n{"name": "read", "arguments": {"fi', cut_off=True)
    assert reading.calls == [LS_CALL, Call("read", '{"fi')]
    assert reading.reason is FinishReason.LENGTH


def test_the_call_is_told_as_soon_as_its_name_is_known() -> None:
    machine = PushMachine(HERMES_JSON, TOOLS, 3, new_id=lambda: "call_x")
    assert machine.feed('<tool_call>\n{"name": "bash') == []
    assert machine.feed('"') == [ToolCallStarted(3, 0, "call_x", "bash")]
    assert machine.feed(', "arguments": {') == []
    assert machine.feed('"comm') == [ToolCallArguments(3, 0, '{"comm')]
    assert machine.feed('and": "ls') == [ToolCallArguments(3, 0, 'and": "ls')]
    assert machine.feed('"}') == [ToolCallArguments(3, 0, '"')]
    assert machine.feed("}") == [ToolCallArguments(3, 0, "}"), ToolCallEnded(3, 0)]
    assert machine.finish(False) == ([], FinishReason.TOOL_CALLS)


def test_prose_is_held_back_only_as_long_as_it_may_begin_a_marker() -> None:
    machine = PushMachine(HERMES_JSON, TOOLS, 0)
    assert [event.text for event in machine.feed("a <tool")] == ["a"]  # type: ignore[union-attr]
    assert [event.text for event in machine.feed("box")] == [" <toolbox"]  # type: ignore[union-attr]


def test_one_call_where_parallel_calls_are_off() -> None:
    text = f"Look.\n{CALL}\nand\n{CALL}\nmore"
    reading = read(HERMES_JSON, text, parallel=False)
    assert reading == called(LS_CALL, content="Look.")
    machine = PushMachine(HERMES_JSON, TOOLS, 0, parallel=False)
    machine.feed(f"<tool_call>\n{LS[:-1]}")
    assert not machine.done
    machine.feed("}")
    assert machine.done
    assert machine.feed("anything") == []


def test_a_broken_call_is_not_replaced_by_a_second_one_where_parallel_calls_are_off() -> None:
    broken = '<tool_call>\n{"name": "bash", "arguments": {"command": oops}}\n</tool_call>\n'
    reading = read(HERMES_JSON, broken + CALL, parallel=False)
    assert [call.ended for call in reading.calls] == [False]
    assert reading.reason is FinishReason.LENGTH


def test_without_tools_nothing_becomes_a_call() -> None:
    text = f" \n{CALL}\n</tool_call> <tool_call> \n"
    assert read(HERMES_JSON, text, tools=()) == Reading(content=text)
    assert read(HERMES_JSON, text, tools=(), cut_off=True).reason is FinishReason.LENGTH

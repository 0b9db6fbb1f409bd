"""What looks like ordinary text is a call only if it is whole, was offered and fits."""

from __future__ import annotations

import json

import pytest

from services.common.chat import ContentDelta, FinishReason, Tool, ToolCallStarted
from services.inference_worker.chat.fitting import fits
from services.inference_worker.chat.formats import FORMATS
from services.inference_worker.chat.machine import PushMachine
from tests.unit.inference_worker.chat.reading import Reading, read, read_everywhere

SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"command": {"type": "string"}, "timeout": {"type": "integer"}},
        "required": ["command"],
        "additionalProperties": False,
    }
)
OFFERED = (Tool("bash", parameters_json=SCHEMA), Tool("list_files"))
LS = '{"name": "bash", "arguments": {"command": "ls"}}'
PLAIN = ("fenced_json", "bare_json", "qwen25_coder", "llama3_json")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('{"command": "ls"}', True),
        ('{"command": "ls", "timeout": 5}', True),
        ("{}", False),
        ('{"command": 5}', False),
        ('{"command": "ls", "timeout": "5"}', False),
        ('{"command": "ls", "cwd": "/"}', False),
        ("[]", False),
        ("null", False),
        ("no json", False),
    ],
)
def test_arguments_fit_their_schema(arguments: str, expected: bool) -> None:
    assert fits(arguments, SCHEMA) is expected


def test_without_a_schema_every_object_fits() -> None:
    assert fits('{"x": 1}', "")
    assert not fits("5", "")


def test_nothing_fits_a_schema_that_cannot_be_applied() -> None:
    assert not fits("{}", '{"type": 5}')
    assert not fits("{}", "no json")
    assert not fits("{}", '{"$ref": "https://elsewhere/schema"}')


NO_CALLS = [
    '{"name": "frob", "arguments": {"command": "ls"}}',
    '{"name": "bash", "arguments": {}}',
    '{"name": "bash", "arguments": {"command": 5}}',
    '{"name": "bash", "arguments": {"command": "ls", "cwd": "/"}}',
    '{"name": "bash", "arguments": ["ls"]}',
    '{"name": "bash", "arguments": "ls"}',
    '{"name": "bash", "arguments": 7}',
    '{"name": "list_files"}',
    '{"name": "list_files", "description": "It lists.", "parameters": {}}',
    '{"name": "list_files", "name": "bash", "arguments": {}}',
    '{"name": "list_files", "arguments": {}, "parameters": {}}',
    '{"name": ["bash"], "arguments": {"command": "ls"}}',
    '{"name": "bash", "arguments": {"command": "ls"}',
    '{"name": "bash", "arguments": {"command": ls}}',
    "{'name': 'bash', 'arguments': {'command': 'ls'}}",
    f'{{"example": {LS}}}',
    f'{{"name": "frob", "arguments": {LS}}}',
    f'[{LS}, {{"name": "frob", "arguments": {{}}}}]',
    "[]",
    '{"name": "Alice", "age": 30}',
    "{ }",
]


@pytest.mark.parametrize("body", NO_CALLS)
@pytest.mark.parametrize("name", PLAIN)
def test_what_does_not_fit_stays_text_to_the_letter(name: str, body: str) -> None:
    for text in (body, f"Look: {body} so.", f"A\n```json\n{body}\n```\n B \n"):
        assert read_everywhere(FORMATS[name], text, OFFERED) == Reading(content=text)


@pytest.mark.parametrize("name", PLAIN)
def test_a_candidate_that_is_cut_off_is_text(name: str) -> None:
    for end in range(len(LS)):
        reading = read(FORMATS[name], LS[:end], OFFERED, cut_off=True)
        assert reading == Reading(content=LS[:end], reason=FinishReason.LENGTH)
    reading = read(FORMATS[name], LS, OFFERED, cut_off=True)
    assert reading.whole_calls() == [("bash", {"command": "ls"})]


@pytest.mark.parametrize("name", PLAIN)
def test_nothing_is_told_before_the_call_is_whole(name: str) -> None:
    machine = PushMachine(FORMATS[name], OFFERED, 0, new_id=lambda: "call_x")
    assert machine.feed(f"So: {LS[:-1]}") == [ContentDelta(0, "So:")]
    assert machine.feed("}")[0] == ToolCallStarted(0, 0, "call_x", "bash")


def test_a_candidate_is_given_up_as_soon_as_it_breaks() -> None:
    machine = PushMachine(FORMATS["bare_json"], OFFERED, 0)
    assert machine.feed("if (x) {") == [ContentDelta(0, "if (x)")]
    assert machine.feed(" r") == [ContentDelta(0, " { r")]


def test_names_are_mended_here_too() -> None:
    text = '{"name": "functions.Bash", "arguments": {"command": "ls"}}'
    assert read(FORMATS["bare_json"], text, OFFERED).whole_calls() == [("bash", {"command": "ls"})]


def test_packed_and_absent_arguments() -> None:
    packed = '{"name": "bash", "arguments": "{\\"command\\": \\"ls\\"}"}'
    assert read(FORMATS["bare_json"], packed, OFFERED).whole_calls() == [("bash", {"command": "ls"})]
    for nothing in ("null", '""', "{}"):
        text = f'{{"name": "list_files", "arguments": {nothing}}}'
        assert read(FORMATS["bare_json"], text, OFFERED).whole_calls() == [("list_files", {})]


def test_explicit_markup_of_the_same_format_needs_no_fit() -> None:
    odd = '{"name": "frob", "arguments": {"x": 1}}'
    for name in ("qwen25_coder", "llama3_json"):
        form = FORMATS[name]
        reading = read(form, f"{odd}\n{form.call.open}{odd}{form.call.close}", OFFERED)
        assert reading.content == odd
        assert reading.whole_calls() == [("frob", {"x": 1})]


def test_the_whole_calls_of_a_list_that_was_cut_off() -> None:
    reading = read_everywhere(FORMATS["bare_json"], f'[{LS}, {{"name": "ba', OFFERED, cut_off=True)
    assert reading.whole_calls() == [("bash", {"command": "ls"})]
    assert (reading.content, reading.reason) == ("", FinishReason.LENGTH)


def test_no_call_is_read_inside_a_fence_of_something_else() -> None:
    text = f"```javascript\ncall({LS})\n```\n"
    assert read_everywhere(FORMATS["bare_json"], text, OFFERED) == Reading(content=text)


@pytest.mark.parametrize("name", PLAIN)
def test_without_tools_nothing_becomes_a_call(name: str) -> None:
    text = f"```json\n{LS}\n```\n{LS}\n"
    assert read(FORMATS[name], text, ()) == Reading(content=text)

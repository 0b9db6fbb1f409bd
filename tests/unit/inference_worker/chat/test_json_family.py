"""Calls that are JSON objects behind all the openers that models put before them."""

from __future__ import annotations

import json

import pytest

from services.common.chat import FinishReason
from services.inference_worker.chat.formats import FORMATS
from tests.unit.inference_worker.chat.reading import TOOLS, Call, Reading, read, read_everywhere, tool

LS = '{"name": "bash", "arguments": {"command": "ls"}}'
LIST = '{"name": "list_files", "arguments": {}}'
LS_CALL = ("bash", {"command": "ls"})
LIST_CALL = ("list_files", {})
COHERE = '{"tool_call_id": "0", "tool_name": "bash", "parameters": {"command": "ls"}}'
LLAMA = '{"name": "bash", "parameters": {"command": "ls"}}'


@pytest.mark.parametrize(
    ("form", "text", "calls", "content"),
    [
        ("hermes_json", f"<tool_call>\n[{LS}, {LIST}]\n</tool_call>", [LS_CALL, LIST_CALL], ""),
        ("qwen25_coder", f"Yes.\n<tools>\n{LS}\n</tools>\nDone.", [LS_CALL], "Yes.\nDone."),
        ("qwen25_coder", f"<function>{LS}</function>", [LS_CALL], ""),
        ("qwen25_coder", f"<tool_call>\n{LS}\n</tool_call>\n```json\n{LIST}\n```", [LS_CALL, LIST_CALL], ""),
        ("qwen25_coder", f"{LS}\n<tool_call>\n{LIST}\n</tool_call>", [LS_CALL, LIST_CALL], ""),
        ("fenced_json", f"So:\n```json\n{LS}\n```\nDone.", [LS_CALL], "So:\nDone."),
        ("fenced_json", f"```\n{LS}\n```", [LS_CALL], ""),
        ("fenced_json", f"```json\n{LS}\n{LIST}\n```", [LS_CALL, LIST_CALL], ""),
        ("fenced_json", f"```json\n[\n{LS},\n{LIST}\n]\n```", [LS_CALL, LIST_CALL], ""),
        ("fenced_json", f"```json\n{LS}\n```\n```json\n{LIST}\n```\n", [LS_CALL, LIST_CALL], ""),
        ("fenced_json", f"```python\nx = {{}}\n```\n```json\n{LS}", [LS_CALL], "```python\nx = {}\n```"),
        ("fenced_json", f"```python\nx = {{}}\n```\n{LS}", [LS_CALL], "```python\nx = {}\n```"),
        ("bare_json", f"I look. {LS}", [LS_CALL], "I look."),
        ("bare_json", f"{LS}\n{LIST}\nSo.", [LS_CALL, LIST_CALL], "So."),
        ("bare_json", f"[{LS}, {LIST}]", [LS_CALL, LIST_CALL], ""),
        ("bare_json", f"```json\n{LS}\n```", [LS_CALL], ""),
        ("llama3_json", f"<|python_tag|>{LLAMA}<|eom_id|>", [LS_CALL], ""),
        ("llama3_json", f"{LLAMA}<|eot_id|>", [LS_CALL], ""),
        ("llama3_json", f"{LLAMA}; {LIST}", [LS_CALL, LIST_CALL], ""),
        ("llama3_json", f"<|python_tag|>{LLAMA};\n{LIST}", [LS_CALL, LIST_CALL], ""),
        ("llama3_json", f"{LLAMA}; and so on", [LS_CALL], "; and so on"),
        ("llama3_json", '<|python_tag|>bash.call(command="ls")<|eom_id|>', [LS_CALL], ""),
        ("mistral_array", f"Hi[TOOL_CALLS] [{LS[:-1]}, \"id\": \"abcdefghi\"}}, {LIST}]</s>",
         [LS_CALL, LIST_CALL], "Hi"),
        ("mistral_array", f"[TOOL_CALLS]{LS}", [LS_CALL], ""),
        ("granite3", f"<|tool_call|>[{LS}, {LIST}]<|end_of_text|>", [LS_CALL, LIST_CALL], ""),
        ("granite3", f"<tool_call>[{LS}]</tool_call>", [LS_CALL], ""),
        ("phi4_mini", f"functools[{LS},{LIST}]<|end|>", [LS_CALL, LIST_CALL], ""),
        ("nemotron_json", f"<TOOLCALL>[{LS}, {LIST}]</TOOLCALL>", [LS_CALL, LIST_CALL], ""),
        ("minimax_m1", f"<tool_calls>\n{LS}\n{LIST}\n</tool_calls>", [LS_CALL, LIST_CALL], ""),
        ("command_r7b", f"<|START_ACTION|>[\n    {COHERE}\n]<|END_ACTION|><|END_OF_TURN_TOKEN|>",
         [LS_CALL], ""),
        ("command_r", f"Plan.\nAction: ```json\n[\n    {COHERE}\n]```", [LS_CALL], "Plan."),
        ("command_r", f"Action:```json\n[{COHERE}]\n```", [LS_CALL], ""),
    ],
)  # fmt: skip
def test_calls_and_prose(form: str, text: str, calls: list[object], content: str) -> None:
    reading = read_everywhere(FORMATS[form], text)
    assert reading.whole_calls() == calls
    assert len(reading.calls) == len(calls)
    assert reading.content == content
    assert reading.reason is FinishReason.TOOL_CALLS


LISTS = {
    "mistral_array": ("[TOOL_CALLS]", ""),
    "granite3": ("<|tool_call|>", ""),
    "phi4_mini": ("functools", ""),
    "nemotron_json": ("<TOOLCALL>", "</TOOLCALL>"),
    "command_r7b": ("<|START_ACTION|>", "<|END_ACTION|>"),
    "command_r": ("Action: ```json\n", "```"),
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_with_missing_and_doubled_marks(name: str) -> None:
    open_, close = LISTS[name]
    for body in (
        f"[{LS}, {LIST}", f"[{LS}, {LIST},]", f"[{LS} {LIST}]", f"[{LS}}}, {LIST}]", f"[{LS}, {LIST}]]",
        f"[\n{LS}\n,\n{LIST}\n]",
    ):  # fmt: skip
        reading = read_everywhere(FORMATS[name], open_ + body + close)
        assert reading.whole_calls() == [LS_CALL, LIST_CALL], body
        assert reading.content == "", body


@pytest.mark.parametrize("name", LISTS)
def test_an_empty_list_calls_nothing(name: str) -> None:
    open_, close = LISTS[name]
    assert read_everywhere(FORMATS[name], f"{open_}[]{close}") == Reading()


@pytest.mark.parametrize("name", LISTS)
def test_a_list_that_is_cut_off_keeps_its_whole_calls(name: str) -> None:
    text = f"{LISTS[name][0]}[{LS}, {LIST}]"
    for end in range(len(LISTS[name][0]) + 1, len(text)):
        reading = read(FORMATS[name], text[:end], cut_off=True)
        assert reading.reason is FinishReason.LENGTH
        assert reading.content == ""
        whole = [LS_CALL] * (end >= text.index(LS) + len(LS)) + [LIST_CALL] * (end >= len(text) - 1)
        assert reading.whole_calls() == whole


@pytest.mark.parametrize("name", LISTS)
def test_a_list_that_breaks_is_no_prose(name: str) -> None:
    open_, close = LISTS[name]
    reading = read_everywhere(FORMATS[name], f"{open_}[{LS}, 5, {LIST}]{close}\nSo.")
    assert reading.whole_calls()[:1] == [LS_CALL]
    assert "{" not in reading.content


@pytest.mark.parametrize("name", LISTS)
def test_one_call_of_a_list_where_parallel_calls_are_off(name: str) -> None:
    open_, close = LISTS[name]
    reading = read(FORMATS[name], f"{open_}[{LS}, {LIST}]{close}", parallel=False)
    assert reading.whole_calls() == [LS_CALL]
    assert len(reading.calls) == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("phi4_mini", "import functools\n@functools.cache"),
        ("mistral_array", "The marker [TOOL_CALLS] stands before a list."),
        ("granite3", "<|tool_call|> begins it"),
        ("nemotron_json", "<TOOLCALL>no</TOOLCALL>"),
        ("minimax_m1", "<tool_calls>\n</tool_calls>"),
        ("command_r", "Action: ```jsonc\n[]```"),
        ("command_r", "Action: ```python\nx\n```"),
        ("llama3_json", "<|python_tag|> is a tag"),
        ("hermes_json", "<tool_call>\n[1]\n</tool_call>"),
    ],
)
def test_what_is_no_call_stays_text(name: str, text: str) -> None:
    assert read_everywhere(FORMATS[name], text) == Reading(content=text)


def test_a_tool_that_nobody_offered_is_called_by_explicit_markup() -> None:
    for name in (*LISTS, "minimax_m1", "hermes_json"):
        form = FORMATS[name]
        reading = read(form, f'{form.call.open}{{"name": "frob", "arguments": {{"x": 1}}}}{form.call.close}')
        assert reading.calls == [Call("frob", '{"x": 1}', True)]


def test_directly_answer_calls_nothing_unless_it_was_offered() -> None:
    answer = '[\n    {\n        "tool_name": "directly-answer",\n        "parameters": {}\n    }\n]'
    text = f"Action: ```json\n{answer}```\nHello"
    assert read_everywhere(FORMATS["command_r"], text) == Reading(content="Hello")
    offered = (tool("directly-answer"),)
    assert read(FORMATS["command_r"], text, offered).whole_calls() == [("directly-answer", {})]


def test_frames_of_answers_and_reasoning_are_no_part_of_them() -> None:
    form = FORMATS["command_r7b"]
    answer = "<|START_RESPONSE|>Hello<|END_RESPONSE|><|END_OF_TURN_TOKEN|>"
    assert read_everywhere(form, answer) == Reading(content="Hello")
    assert read_everywhere(form, answer, ()) == Reading(content="Hello")
    thinking = f"<|START_THINKING|>I will.<|END_THINKING|><|START_ACTION|>[{COHERE}]<|END_ACTION|>"
    reading = read_everywhere(form, thinking)
    assert (reading.reasoning, reading.whole_calls()) == ("I will.", [LS_CALL])


@pytest.mark.parametrize("name", [*LISTS, "minimax_m1", "llama3_json", "qwen25_coder", "fenced_json"])
def test_a_value_may_hold_its_own_markup(name: str) -> None:
    form = FORMATS[name]
    for marker in (
        "]",
        "}",
        "```",
        "; ",
        "<|im_end|>",
        form.call.open,
        form.call.close,
        f"{form.call.open}[{LS}]",
    ):
        arguments = {"command": f"a{marker}\n{marker}b"}
        body = json.dumps({form.name_keys[0]: "bash", form.arguments_keys[0]: arguments})
        body = f"[{body}]" if form.array else body
        reading = read(form, f"{form.call.open}\n{body}\n{form.call.close}")
        assert reading.whole_calls() == [("bash", arguments)]
        assert reading.content == ""


def test_without_tools_nothing_becomes_a_call() -> None:
    for name, (open_, close) in LISTS.items():
        text = f" {open_}[{LS}]{close} \n"
        assert read(FORMATS[name], text, ()) == Reading(content=text)


def test_a_draft_stays_reasoning_also_in_a_list() -> None:
    form = FORMATS["nemotron_json"]
    call = f"<TOOLCALL>[{LS}]</TOOLCALL>"
    assert read(form, f"<think>perhaps {call} []</think>No.") == Reading("No.", f"perhaps {call} []")
    unclosed = read(form, f"<think>I list.\n{call}")
    assert (unclosed.reasoning, unclosed.whole_calls()) == ("I list.", [LS_CALL])
    nothing = "<TOOLCALL>[]</TOOLCALL>"
    assert read(form, f"<think>or {nothing} no</think>{nothing}No.").reasoning == f"or {nothing} no"


def test_tools_with_names_in_other_cases_are_mended() -> None:
    text = '[TOOL_CALLS][{"name": "functions.BASH", "arguments": {"command": "ls"}}]'
    assert read(FORMATS["mistral_array"], text, TOOLS).whole_calls() == [LS_CALL]

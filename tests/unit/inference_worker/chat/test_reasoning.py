"""Reasoning, and calls inside it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.common.chat import FinishReason, ReasoningDelta
from services.inference_worker.chat.formats import HERMES_JSON, NONE, QWEN3_CODER_XML, THINK, Format
from services.inference_worker.chat.machine import PushMachine
from tests.unit.inference_worker.chat.reading import TOOLS, Call, Reading, read

JSON_CALL = '<tool_call>\n{"name": "bash", "arguments": {"command":"ls"}}\n</tool_call>'
XML_CALL = "<tool_call>\n<function=bash>\n<parameter=command>\nls\n</parameter>\n</function>\n</tool_call>"
BOTH = pytest.mark.parametrize(("form", "call"), [(HERMES_JSON, JSON_CALL), (QWEN3_CODER_XML, XML_CALL)])
LS = Call("bash", '{"command":"ls"}', True)


@pytest.mark.parametrize(
    ("text", "prompt_tail", "reasoning", "content"),
    [
        ("<think>\nhm\n</think>\n\nYes.", "", "hm", "Yes."),
        ("hm\n</think>\n\nYes.", "<|im_start|>assistant\n<think>\n", "hm", "Yes."),
        ("\nhm\n\nhm\n</think>Yes.", "<think>", "hm\n\nhm", "Yes."),
        ("<think>\nhm</think>Yes.", "<think>\n", "hm", "Yes."),
        ("Yes.", "<think>\n\n</think>\n\n", "", "Yes."),
        ("\n <think>hm</think>\nYes.\n", "", "hm", "Yes.\n"),
        ("<think>\n\n</think>\n\nYes.", "", "", "Yes."),
        ("<think>a</think>\n<think>b</think>\nYes.", "", "ab", "Yes."),
        ("<think>a</think></think>\nYes.", "", "a", "Yes."),
        ("<think>never closed\n", "", "never closed", ""),
        ("It writes <think> and </think>.", "", "", "It writes <think> and </think>."),
        ("<thinking> is no tag", "", "", "<thinking> is no tag"),
        ("  <thin", "", "", "  <thin"),
        ("<think>a < b </thin", "", "a < b </thin", ""),
        ("<think>é😀\n漢</think>😀", "", "é😀\n漢", "😀"),
    ],
)
@pytest.mark.parametrize("form", [HERMES_JSON, QWEN3_CODER_XML, replace(NONE, reasoning=THINK)])
@pytest.mark.parametrize("tools", [TOOLS, ()])
def test_tags(
    form: Format, tools: tuple[()], text: str, prompt_tail: str, reasoning: str, content: str
) -> None:
    expected = Reading(content=content, reasoning=reasoning)
    assert read(form, text, tools, prompt_tail=prompt_tail) == expected


@BOTH
def test_a_call_behind_reasoning(form: Format, call: str) -> None:
    reading = read(form, f"<think>\nI list.\n</think>\n\n{call}")
    assert reading == Reading("", "I list.", [LS], FinishReason.TOOL_CALLS)


@BOTH
def test_a_call_in_reasoning_that_is_closed_is_a_draft(form: Format, call: str) -> None:
    text = f"<think>\nPerhaps {call} or\n{call}\n no.\n</think>\n\nNo."
    reading = read(form, text)
    assert reading == Reading("No.", f"Perhaps {call} or\n{call}\n no.")


@BOTH
def test_a_draft_and_then_the_call(form: Format, call: str) -> None:
    reading = read(form, f"draft: {call}\n</think>\n{call}", prompt_tail="<think>\n")
    assert reading == Reading("", f"draft: {call}", [LS], FinishReason.TOOL_CALLS)


@BOTH
def test_a_call_in_reasoning_that_is_never_closed_is_a_call(form: Format, call: str) -> None:
    reading = read(form, f"I list.\n{call}\nand again\n{call}", prompt_tail="<think>\n")
    assert reading == Reading("", "I list.\nand again", [LS, LS], FinishReason.TOOL_CALLS)


@BOTH
def test_half_a_call_in_reasoning_that_is_never_closed_stays_reasoning(form: Format, call: str) -> None:
    reading = read(form, f"<think>I list. {call[:50]}", cut_off=True)
    assert reading == Reading("", f"I list. {call[:50]}", [], FinishReason.LENGTH)


@BOTH
def test_an_unfinished_draft_does_not_swallow_the_answer(form: Format, call: str) -> None:
    reading = read(form, f"<think>I list. {call[:50]}</think>\n{call}")
    assert reading == Reading("", f"I list. {call[:50]}", [LS], FinishReason.TOOL_CALLS)


def test_a_mention_of_the_opener_does_not_hold_reasoning_back() -> None:
    machine = PushMachine(HERMES_JSON, TOOLS, 0, "<think>\n")
    assert machine.feed("use <tool_call> then") == [ReasoningDelta(0, "use <tool_call> then")]


def test_reasoning_open_says_what_the_text_counts_as() -> None:
    machine = PushMachine(HERMES_JSON, TOOLS, 0)
    states = []
    for piece in ("<think>", "hm", "</thi", "nk>", "Yes"):
        machine.feed(piece)
        states.append(machine.reasoning_open)
    assert states == [True, True, True, False, False]
    assert PushMachine(HERMES_JSON, TOOLS, 0, "<think>\n").reasoning_open


def test_a_model_without_format_is_left_alone() -> None:
    text = f" <think>\n{JSON_CALL}</think> \n"
    assert read(NONE, text) == Reading(content=text)
    assert not PushMachine(NONE, TOOLS, 0, "<think>\n").reasoning_open

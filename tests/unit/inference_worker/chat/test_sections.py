"""Runs of calls between markers of their own, and the tokens that are no part of an answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.common.chat import FinishReason
from services.inference_worker.chat.formats import FORMATS, HERMES_JSON, Tags
from tests.unit.inference_worker.chat.reading import Reading, read_everywhere

LS = '{"name": "bash", "arguments": {"command": "ls"}}'
LS_CALL = ("bash", {"command": "ls"})
CALL = f"<tool_call>{LS}</tool_call>"
FORM = replace(HERMES_JSON, section=(Tags("<run>", "</run>"), Tags("<runs>", "</runs>")), noise=("<|hush|>",))


@pytest.mark.parametrize(
    ("text", "count", "content"),
    [
        (f"<run>{CALL}</run>", 1, ""),
        (f"A.\n<run>\n{CALL}\n{CALL}\n</run>\nB.", 2, "A.\nB."),
        (f"<runs>{CALL}</runs><run>{CALL}</run>", 2, ""),
        (f"<run>{CALL}", 1, ""),
        (f"{CALL}</run>", 1, ""),
        (f"<run>{CALL}</run></run>\n", 1, ""),
        (f"<run>{CALL} and {CALL}</run>B.", 2, " and\nB."),
        (f"<run>{CALL}late</run> word", 1, "late word"),
        (f"<run><|hush|>{CALL}", 1, ""),
    ],
)
def test_sections_are_markup(text: str, count: int, content: str) -> None:
    reading = read_everywhere(FORM, text)
    assert reading.whole_calls() == [LS_CALL] * count
    assert "".join(reading.content.split()) == "".join(content.split())


@pytest.mark.parametrize(
    "text", ["The <run> tag.", "<run>", "<run>\n\n", "<run>no</run>", "<run><tool_call>no", "<run", "</run>"]
)
def test_a_section_without_a_call_is_text(text: str) -> None:
    assert read_everywhere(FORM, text) == Reading(content=text)


def test_a_section_that_is_cut_off_before_its_first_call() -> None:
    for text in ("<run>", "<run>\n<tool_c", "<run>\n<tool_call>\n"):
        assert read_everywhere(FORM, text, cut_off=True) == Reading(reason=FinishReason.LENGTH)


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("Hi<|hush|> there<|im_end|>", "Hi there"),
        ("<|hush|>Hi", "Hi"),
        ("<|hush|>\n<|im_end|>", "\n"),
        ("a <|im_end| b", "a <|im_end| b"),
        ("a <|im_e", "a <|im_e"),
    ],
)
def test_noise_is_dropped(text: str, content: str) -> None:
    assert read_everywhere(FORM, text) == Reading(content=content)


def test_noise_is_dropped_around_calls_and_in_reasoning_but_not_in_values() -> None:
    value = '{"name": "bash", "arguments": {"command": "a<|hush|><|im_end|>b"}}'
    call = f"<tool_call>{value}</tool_call><|im_end|>\n"
    text = f"<|hush|><think>so<|hush|> <|im_end|>it is</think><|hush|>Yes.{call}"
    reading = read_everywhere(FORM, text)
    assert reading.reasoning == "so it is"
    assert reading.content == "Yes."
    assert reading.whole_calls() == [("bash", {"command": "a<|hush|><|im_end|>b"})]


def test_calls_in_open_reasoning_with_noise_beside_them() -> None:
    reading = read_everywhere(FORM, f"<think>so<|im_end|> it\n{CALL}<|hush|>\n{CALL}<|im_end|>")
    assert reading.reasoning == "so it"
    assert reading.whole_calls() == [LS_CALL, LS_CALL]


def test_without_tools_only_end_tokens_are_dropped() -> None:
    text = f"<|hush|> <run>{CALL}</run> <|im_"
    assert read_everywhere(FORM, text + "<|im_end|>", ()) == Reading(content=text)
    assert read_everywhere(FORMATS["none"], "Hi<|im_end|>") == Reading(content="Hi")
    thinking = read_everywhere(FORM, "<think>a<|im_end|><|hush|></think>b", ())
    assert thinking == Reading("b", "a<|hush|>")

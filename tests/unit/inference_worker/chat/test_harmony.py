"""Answers in channels, as gpt-oss writes them."""

from __future__ import annotations

import json
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.chat import FinishReason, ReasoningDelta, ToolCallArguments, ToolCallStarted
from services.inference_worker.chat.formats import FORMATS
from services.inference_worker.chat.harmony_header import MARKERS
from services.inference_worker.chat.machine import PushMachine
from tests.unit.inference_worker.chat.reading import TOOLS, Call, Reading, read, read_pieces
from tests.unit.inference_worker.chat.truncation import assert_cut_anywhere

HARMONY = FORMATS["harmony"]
ANALYSIS = "<|channel|>analysis<|message|>Hm.<|end|>"
PREAMBLE = "<|channel|>commentary<|message|>I look.<|end|>"
FINAL = "<|channel|>final<|message|>Done.<|return|>"
START = "<|start|>assistant"
HEADER = "<|channel|>commentary to=functions.bash <|constrain|>json<|message|>"
JSON = '{"command": "ls"}'
CALL = f"{HEADER}{JSON}<|call|>"
LS = Call("bash", JSON, True)


def called(*calls: Call, content: str = "", reasoning: str = "") -> Reading:
    return Reading(content, reasoning, list(calls), FinishReason.TOOL_CALLS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (FINAL, Reading("Done.")),
        (ANALYSIS + START + FINAL, Reading("Done.", "Hm.")),
        (CALL, called(LS)),
        (ANALYSIS + START + CALL, called(LS, reasoning="Hm.")),
        (ANALYSIS + START + PREAMBLE + START + CALL, called(LS, content="I look.", reasoning="Hm.")),
        (CALL + START + CALL, called(LS, LS)),
        (CALL + START + FINAL, called(LS, content="Done.")),
        (ANALYSIS + START + ANALYSIS + START + FINAL, Reading("Done.", "Hm.Hm.")),
        ("Just an answer.", Reading("Just an answer.")),
        ("final answer: assistant to=functions.bash", Reading("final answer: assistant to=functions.bash")),
        ("\n<|channel|>final<|message|>\n a \n<|return|>", Reading("\n a \n")),
    ],
)
def test_messages(text: str, expected: Reading) -> None:
    assert read(HARMONY, text) == expected


@pytest.mark.parametrize(
    "header",
    [
        "<|channel|>commentary to=functions.bash<|message|>",
        "<|channel|>commentary to=functions.bash<|constrain|>json<|message|>",
        "<|channel|>commentary to=functions.bash json<|message|>",
        "<|channel|>commentary to=bash <|constrain|>json<|message|>",
        "<|channel|>commentary to=functions.Bash <|constrain|>json<|message|>",
        "<|channel|>analysis to=functions.bash <|constrain|>json<|message|>",
        "<|channel|>final to=functions.bash <|constrain|>json<|message|>",
        "<|channel|> commentary  to=functions.bash \n<|constrain|> json <|message|>",
        "<|start|>assistant to=functions.bash<|channel|>commentary <|constrain|>json<|message|>",
        "<|start|>assistant<|channel|>commentary to=functions.bash <|constrain|>json<|message|>",
        "assistant<|channel|>commentary to=functions.bash <|constrain|>json<|message|>",
        " to=functions.bash<|channel|>commentary <|constrain|>json<|message|>",
        "commentary to=functions.bash<|message|>",
        "<|channel|>commentary to=functions.bash <|constrain|>json",
        "<|channel|>commentary to=functions.bash ",
    ],
)
def test_the_header_in_all_its_spellings(header: str) -> None:
    assert read(HARMONY, f"{header}{JSON}<|call|>") == called(LS)
    assert read(HARMONY, f"{ANALYSIS}{header}{JSON}") == called(LS, reasoning="Hm.")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<|channel|>analysis<|message|>Hm.<|channel|>final<|message|>Done.", Reading("Done.", "Hm.")),
        ("<|channel|>analysis<|message|>Hm." + START + FINAL, Reading("Done.", "Hm.")),
        ("<|channel|>analysis<|message|>Hm." + START + CALL, called(LS, reasoning="Hm.")),
        ("analysis<|message|>Hm.<|end|>final<|message|>Done.", Reading("Done.", "Hm.")),
        (ANALYSIS + "Done.", Reading("Done.", "Hm.")),
        (ANALYSIS + "<|end|>\n<|end|>" + START + FINAL, Reading("Done.", "Hm.")),
        ("<|message|>Done.<|return|>", Reading("Done.")),
        ("<|channel|>final Done.<|return|>", Reading("Done.")),
        ("<|channel|>final <|constrain|>json<|message|>{}<|return|>", Reading("{}")),
        ("<|channel|>reply<|message|>Done.<|end|>", Reading("Done.")),
        ("<|channel|>final<|message|>Done.<|end|><|endoftext|>", Reading("Done.")),
        (f"{HEADER}{JSON}Done.", called(LS, content="Done.")),
        (f"{HEADER}{JSON}<|end|>{START}{FINAL}", called(LS, content="Done.")),
        ("The word <|channel|> is text", Reading("The word is text")),
        (ANALYSIS + START, Reading("", "Hm.")),
        (ANALYSIS + START + "<|channel|>", Reading("", "Hm.")),
    ],
)
def test_markers_that_are_missing_or_doubled(text: str, expected: Reading) -> None:
    assert read(HARMONY, text) == expected


@pytest.mark.parametrize(
    ("tail", "text", "expected"),
    [
        ("…<|end|><|start|>assistant", ANALYSIS + START + CALL, called(LS, reasoning="Hm.")),
        ("<|start|>assistant", " to=functions.bash<|channel|>commentary<|message|>" + JSON, called(LS)),
        ("<|start|>assistant", "Hello", Reading("Hello")),
        ("<|start|>assistant<|channel|>", "final<|message|>Done.", Reading("Done.")),
        ("<|start|>assistant<|channel|>analysis<|message|>", "Hm.<|end|>" + FINAL, Reading("Done.", "Hm.")),
        ("<|start|>assistant<|channel|>final<|message|>", "Done.<|return|>", Reading("Done.")),
        (START + HEADER, JSON + "<|call|>", called(LS)),
    ],
)
def test_the_prompt_may_have_begun_a_message(tail: str, text: str, expected: Reading) -> None:
    assert read(HARMONY, text, prompt_tail=tail) == expected


def test_no_arguments_are_an_empty_object() -> None:
    for body in ("{}", "", " \n"):
        assert read(HARMONY, f"{HEADER}{body}<|call|>") == called(Call("bash", "{}", True))


def test_a_name_that_nobody_offered_loses_no_more_than_the_namespace() -> None:
    text = '<|channel|>commentary to=functions.zap.it <|constrain|>json<|message|>{"x": 1}<|call|>'
    assert read(HARMONY, text) == called(Call("zap.it", '{"x": 1}', True))
    browser = '<|channel|>analysis to=browser.search code<|message|>{"q": "x"}<|call|>'
    assert read(HARMONY, browser) == called(Call("browser.search", '{"q": "x"}', True))


@pytest.mark.parametrize(
    "value",
    [
        "<|call|>", "<|end|><|start|>assistant<|channel|>final<|message|>x<|return|>", 'a "b" {c} \\ \n </x>',
        "é 漢字 😀 \u2028", "to=functions.read {}",
    ],
)  # fmt: skip
def test_values_with_anything_in_them(value: str) -> None:
    body = json.dumps({"command": value}, ensure_ascii=False)
    assert read(HARMONY, f"{HEADER}{body}<|call|>{START}{FINAL}") == called(
        Call("bash", body, True), content="Done."
    )


@pytest.mark.parametrize(
    ("body", "content", "arguments"),
    [
        ("ls -la", "ls -la", None),
        ("{command: ls}", "{command: ls}", None),
        ("[1]", "[1]", None),
        ('{"command": ls}', "", '{"command": '),
        ('{"command": "ls", }', "", '{"command": "ls", '),
    ],
)
def test_a_message_that_is_no_json_object(body: str, content: str, arguments: str | None) -> None:
    calls = [] if arguments is None else [Call("bash", arguments)]
    reason = FinishReason.LENGTH if calls else FinishReason.STOP
    assert read(HARMONY, f"{HEADER}{body}<|call|>") == Reading(content, "", calls, reason)
    reading = read(HARMONY, f"{HEADER}{body}<|call|>{START}{CALL}")
    assert reading.calls[-1] == LS
    assert reading.content == content


def test_code_for_a_tool_that_runs_in_analysis_is_reasoning() -> None:
    text = "<|channel|>analysis to=python code<|message|>print(1)<|call|>"
    assert read(HARMONY, text) == Reading("", "print(1)")


def test_a_message_to_somebody_who_is_no_tool_is_no_call() -> None:
    text = "<|start|>functions.bash to=assistant<|channel|>commentary<|message|>{}<|end|>"
    assert read(HARMONY, text) == Reading("{}")


def test_without_tools_calls_pass_untouched() -> None:
    assert read(HARMONY, ANALYSIS + START + FINAL, ()) == Reading("Done.", "Hm.")
    assert read(HARMONY, ANALYSIS + START + CALL + START + FINAL, ()) == Reading(
        START + CALL + "Done.", "Hm."
    )


def test_one_call_at_most() -> None:
    assert read(HARMONY, CALL + START + CALL + START + FINAL, parallel=False) == called(LS)


@pytest.mark.parametrize("thought", ["a <", "a <|", "a\n<|en", "[e~"])
def test_half_a_marker_in_reasoning_is_reasoning(thought: str) -> None:
    text = f"<|channel|>analysis<|message|>{thought}<|end|>{START}{FINAL}"
    assert read(HARMONY, text) == Reading("Done.", thought)


def test_arguments_as_a_text() -> None:
    body = json.dumps(json.dumps({"command": "x" * 20_000}))
    reading = read(HARMONY, f"{HEADER}{body}<|call|>")
    assert reading.whole_calls() == [("bash", {"command": "x" * 20_000})]


def test_cut_anywhere() -> None:
    assert_cut_anywhere(
        HARMONY, ANALYSIS + START + PREAMBLE + START + CALL + START + CALL, markers=(*MARKERS, START)
    )


def test_a_call_that_was_cut_off_is_not_completed() -> None:
    reading = read(HARMONY, HEADER + JSON[:-1], cut_off=True)
    assert reading == Reading("", "", [Call("bash", JSON[:-1])], FinishReason.LENGTH)
    assert read(HARMONY, HEADER).reason is FinishReason.LENGTH


def test_pieces_go_out_as_they_come() -> None:
    machine = PushMachine(HARMONY, TOOLS, 0, "<|start|>assistant", new_id=lambda: "a")
    assert machine.feed("<|channel|>analysis<|message|>") == []
    assert machine.reasoning_open
    assert machine.feed("Hm <") == [ReasoningDelta(0, "Hm ")]
    assert machine.feed("|end|>" + START + HEADER) == []
    assert not machine.reasoning_open
    assert machine.feed('{"command": "l') == [
        ToolCallStarted(0, 0, "a", "bash"),
        ToolCallArguments(0, 0, '{"command": "l'),
    ]
    assert machine.feed("s") == [ToolCallArguments(0, 0, "s")]


PIECES = st.lists(
    st.sampled_from(
        [*MARKERS, "assistant", "analysis", "commentary", "final", " to=functions.bash", " to=", "json", " ",
         "\n", JSON, '{"command": "', "}", "{", "words", "é", "<|", "<|endoftext|>", '"']
    ),
    max_size=14,
).map("".join)  # fmt: skip


@given(PIECES, st.booleans(), st.sampled_from(["", "<|start|>assistant", "<|start|>assistant<|channel|>"]))
@settings(derandomize=True, deadline=None, max_examples=400)
def test_whatever_comes_there_is_no_markup_in_it(text: str, cut_off: bool, tail: str) -> None:
    reading = read(HARMONY, text, cut_off=cut_off, prompt_tail=tail)
    assert not any(marker in reading.content + reading.reasoning for marker in MARKERS)


def test_long_arguments_take_linear_time() -> None:
    def seconds(size: int) -> float:
        text = HEADER + json.dumps({"command": 'x"\n}<' * (size // 5)}) + "<|call|>"
        began = process_time()
        reading = read_pieces(HARMONY, list(text))
        assert reading.reason is FinishReason.TOOL_CALLS
        return process_time() - began

    seconds(1_000)
    assert seconds(100_000) < 40 * max(seconds(10_000), 0.02)

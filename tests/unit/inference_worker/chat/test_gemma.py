"""Calls in braces, as Gemma 4 and FunctionGemma write them."""

from __future__ import annotations

import json
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.chat import FinishReason, ToolCallArguments, ToolCallStarted
from services.inference_worker.chat.formats import FORMATS
from services.inference_worker.chat.machine import PushMachine
from tests.unit.inference_worker.chat.reading import STRING, TOOLS, Call, Reading, read, read_pieces, tool
from tests.unit.inference_worker.chat.truncation import assert_cut_anywhere

GEMMA = FORMATS["gemma4"]
FUNCTION = FORMATS["functiongemma"]
Q = '<|"|>'
MARKERS = ("<|tool_call>", "<tool_call|>", Q, "<|channel>thought", "<channel|>")
LS = Call("bash", '{"command":"ls"}', True)
CALL = f"<|tool_call>call:bash{{command:{Q}ls{Q}}}<tool_call|>"


def called(*calls: Call, content: str = "", reasoning: str = "") -> Reading:
    return Reading(content, reasoning, list(calls), FinishReason.TOOL_CALLS)


def wrapped(body: str) -> str:
    return f"<|tool_call>call:{body}<tool_call|>"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (CALL, called(LS)),
        (CALL + CALL, called(LS, LS)),
        (f"{CALL}\n{CALL}<turn|>", called(LS, LS)),
        (f"I look.\n{CALL}\nDone.", called(LS, content="I look.\nDone.")),
        (CALL + "<|tool_response>", called(LS)),
        (CALL.removesuffix("<tool_call|>"), called(LS)),
        (CALL.removesuffix("<tool_call|>") + "\nDone.", called(LS, content="Done.")),
        (CALL.removesuffix("<tool_call|>") + CALL, called(LS, LS)),
        (CALL + "<tool_call|>", called(LS)),
        (f"<|channel>thought\nHm.\n<channel|>{CALL}", called(LS, reasoning="Hm.")),
        ("<|channel>thought\n<channel|>Hello.", Reading("Hello.")),
        (f"<|channel>thought\n{CALL}<channel|>No.", Reading("No.", CALL)),
        (f"<|channel>thought\nHm. {CALL}", called(LS, reasoning="Hm.")),
        ("call:bash{command:ls} is text", Reading("call:bash{command:ls} is text")),
    ],
)
def test_calls_and_prose(text: str, expected: Reading) -> None:
    assert read(GEMMA, text) == expected


@pytest.mark.parametrize(
    ("body", "arguments"),
    [
        ("{}", {}),
        ("{ }", {}),
        ("{timeout:5}", {"timeout": 5}),
        (f"{{command:{Q}ls{Q},timeout:5}}", {"command": "ls", "timeout": 5}),
        (f"{{ command : {Q}ls{Q} ,\n timeout : 5 , }}", {"command": "ls", "timeout": 5}),
        (f'{{"command":{Q}ls{Q}}}', {"command": "ls"}),
        (f"{{{Q}command{Q}:{Q}ls{Q}}}", {"command": "ls"}),
        ('{command:"l\\"s\\u00e9"}', {"command": 'l"sé'}),
        ("{command:007}", {"command": "007"}),
        ("{command:true}", {"command": "true"}),
        ("{command:null}", {"command": "null"}),
        ("{command:1.50}", {"command": "1.50"}),
        ("{command:ls -la, then {x} and [y],timeout:5}",
         {"command": "ls -la, then {x} and [y]", "timeout": 5}),
        ("{command:{a:1}}", {"command": "{a:1}"}),
        (f"{{timeout:{Q}5{Q}}}", {"timeout": 5}),
        (f"{{timeout:{Q}five{Q}}}", {"timeout": "five"}),
        ("{other:007,more:12,flag:true,none:null,word:abc}",
         {"other": "007", "more": 12, "flag": True, "none": None, "word": "abc"}),
        (f"{{a:{{b:[1,{Q}x{Q},{{c:false}},[]],d:{{}}}},e:-1.5e3}}",
         {"a": {"b": [1, "x", {"c": False}, []], "d": {}}, "e": -1500.0}),
    ],
)  # fmt: skip
def test_arguments(body: str, arguments: dict[str, object]) -> None:
    reading = read(GEMMA, wrapped("bash" + body))
    assert reading.whole_calls() == [("bash", arguments)]
    assert reading.content == ""


@pytest.mark.parametrize(
    "value",
    [
        "", "\n", "007", "true", "}", "},", "<tool_call|>", CALL.replace(Q, '"'), f"a{Q}b", f"{Q}x{Q}",
        f"print({Q})", f"{Q}, x{Q}", f"{Q};}}", "if (a) { b('}') } // \\n \"q\"", "<x a='1'>&amp;</x>",
        "é 漢字 😀 \u2028\x00", "<|channel>thought", "<|", '<|"|',
    ],
)  # fmt: skip
def test_texts_with_anything_in_them(value: str) -> None:
    text = wrapped(f"bash{{command:{Q}{value}{Q},timeout:5}}") + "Done."
    reading = read(GEMMA, text)
    assert reading.whole_calls() == [("bash", {"command": value, "timeout": 5})]
    assert reading.content == "Done."
    nested = wrapped(f"todowrite{{todos:[{Q}{value}{Q},{{x:{Q}{value}{Q}}}]}}")
    assert read(GEMMA, nested).whole_calls() == [("todowrite", {"todos": [value, {"x": value}]})]


def test_names() -> None:
    assert read(GEMMA, wrapped("BASH{}")).calls[0].name == "bash"
    assert read(GEMMA, wrapped("functions.bash{}")).calls[0].name == "bash"
    assert read(GEMMA, wrapped(f"zap{{x:{Q}1{Q}}}")) == called(Call("zap", '{"x":"1"}', True))
    assert read(GEMMA, f"<|tool_call>bash{{command:{Q}ls{Q}}}<tool_call|>") == called(LS)


@pytest.mark.parametrize(
    ("body", "arguments"),
    [
        ("bash{:1}", ""), ("bash{command ls}", ""),
        (f"bash{{command:{Q}ls{Q},command:{Q}x{Q}}}", '{"command":"ls"'),
        ("bash{a:{b:1]}", '{"a":{"b":'), ('bash{command:"a\nb"}', '{"command":'),
    ],
)  # fmt: skip
def test_malformed_calls_never_end(body: str, arguments: str) -> None:
    reading = read(GEMMA, wrapped(body) + CALL)
    assert (reading.calls[0].name, reading.calls[0].ended) == ("bash", False)
    assert reading.calls[0].arguments.startswith(arguments)
    assert reading.content == ""


def test_what_is_no_call_stays_text() -> None:
    for text in (
        "<|tool_call>hello there",
        "<|tool_call>call:(x)",
        "<|tool_call>",
        "write <|tool_call> first",
    ):
        assert read(GEMMA, "So: " + text + " .") == Reading("So: " + text + " .")


def test_deep_nesting_is_refused() -> None:
    reading = read_pieces(GEMMA, [wrapped("bash{a:" + "[" * 5000 + "]" * 5000 + "}")])
    assert not any(call.ended for call in reading.calls)


def test_without_tools_calls_pass_untouched() -> None:
    assert read(GEMMA, f"<|channel>thought\nHm.<channel|>{CALL}", ()) == Reading(CALL, "Hm.")


def test_one_call_at_most() -> None:
    assert read(GEMMA, CALL + CALL, parallel=False) == called(LS)


def test_cut_anywhere() -> None:
    rich = wrapped(f"bash{{command:{Q}a, b{Q},more:[1,{{c:{Q}d{Q}}}]}}")
    assert_cut_anywhere(GEMMA, f"<|channel>thought\nHm.<channel|>{rich}", markers=MARKERS)


def test_a_call_that_was_cut_off_is_not_completed() -> None:
    for end in range(len("<|tool_call>"), CALL.index("}")):
        reading = read(GEMMA, CALL[:end], cut_off=True)
        assert reading.reason is FinishReason.LENGTH
        assert not any(call.ended for call in reading.calls)
        assert reading.content == ""


def test_pieces_go_out_as_they_come() -> None:
    machine = PushMachine(GEMMA, TOOLS, 0, new_id=lambda: "a")
    assert machine.feed("<|tool_call>call:bash{") == [ToolCallStarted(0, 0, "a", "bash")]
    assert machine.feed(f"command:{Q}ls ") == [ToolCallArguments(0, 0, '{"command":"ls ')]
    assert machine.feed("-l<|") == [ToolCallArguments(0, 0, "-l")]
    assert machine.feed('"|>,') == []
    assert machine.feed("no") == []
    assert machine.feed("t a key") == [ToolCallArguments(0, 0, '<|\\"|>,not a key')]


FG_CALL = "<start_function_call>call:bash{command:<escape>ls<escape>}<end_function_call>"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (FG_CALL, called(LS)),
        (FG_CALL + FG_CALL + "<start_function_response>", called(LS, LS)),
        ("call:bash{command:<escape>ls<escape>}", called(LS)),
        (f"I look. {FG_CALL}<end_of_turn>", called(LS, content="I look.")),
        ("call:zap{x:<escape>1<escape>}", called(Call("zap", '{"x":"1"}', True))),
        ("To call: bash {x} is", Reading("To call: bash {x} is")),
        ("call:zap{} is", Reading("call:zap{} is")),
        ("call:me", Reading("call:me")),
        ("<start_function_call>call:bash{}<end_function_call>", called(Call("bash", "{}", True))),
        (FG_CALL.replace("ls", "a<escape>b"), called(Call("bash", '{"command":"a<escape>b"}', True))),
    ],
)
def test_functiongemma(text: str, expected: Reading) -> None:
    assert read(FUNCTION, text) == expected


TEXTS = st.lists(
    st.text(max_size=5)
    | st.sampled_from(["{", "}", "[", "]", ",", ":", '"', "<|", "<tool_call|>", "call:", "\n"]),
    max_size=8,
).map("".join)
TEXTS = TEXTS.filter(lambda text: Q not in text and not text.endswith(("<", "<|", '<|"', '<|"|')))
KEYS = st.from_regex(r"[a-z_][a-z0-9_.]{0,8}", fullmatch=True)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


def printed(value: object) -> str:
    match value:
        case dict():
            return "{" + ",".join(f"{key}:{printed(each)}" for key, each in value.items()) + "}"
        case list():
            return "[" + ",".join(map(printed, value)) + "]"
        case str():
            return f"{Q}{value}{Q}"
    return json.dumps(value)


@given(st.dictionaries(KEYS, VALUES, max_size=4))
@settings(derandomize=True, deadline=None, max_examples=200)
def test_arguments_come_back(arguments: dict[str, object]) -> None:
    reading = read(GEMMA, wrapped("zap" + printed(arguments)), (tool("other", x=STRING),))
    assert reading.whole_calls() == [("zap", arguments)]


def test_long_arguments_take_linear_time() -> None:
    def seconds(size: int, value: str) -> float:
        text = wrapped(f"bash{{command:{value * (size // len(value))}}}")
        began = process_time()
        assert read_pieces(GEMMA, list(text)).reason is not FinishReason.STOP
        return process_time() - began

    for value in ("abcd\n", Q + "," + "x" * 40, "a, {b} [c]"):
        seconds(1_000, value)
        assert seconds(50_000, value) < 40 * max(seconds(5_000, value), 0.01)

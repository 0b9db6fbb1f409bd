"""Calls in Python, alone or between markers, and the literals in them."""

from __future__ import annotations

import json
from time import process_time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.chat import FinishReason, ToolCallArguments, ToolCallStarted
from services.inference_worker.chat.formats import FORMATS
from services.inference_worker.chat.machine import PushMachine
from services.inference_worker.chat.python_call import PythonCallReader
from services.inference_worker.chat.steps import Arguments, End, ReaderState, Start
from services.inference_worker.chat.toolbox import Toolbox
from tests.unit.inference_worker.chat.reading import TOOLS, Call, Reading, read, read_pieces, tool
from tests.unit.inference_worker.chat.truncation import assert_cut_anywhere

LFM2 = FORMATS["lfm2"]
PYTHONIC = FORMATS["pythonic"]
OPEN, CLOSE = "<|tool_call_start|>", "<|tool_call_end|>"
LS = Call("bash", '{"command":"ls"}', True)


def called(*calls: Call, content: str = "", reasoning: str = "") -> Reading:
    return Reading(content, reasoning, list(calls), FinishReason.TOOL_CALLS)


def arguments(text: str) -> Any:
    """The arguments of the one call between LFM's markers."""
    reading = read(LFM2, f"{OPEN}[{text}]{CLOSE}")
    assert (reading.content, len(reading.calls), reading.calls[0].ended) == ("", 1, True)
    return json.loads(reading.calls[0].arguments)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f'{OPEN}[bash(command="ls")]{CLOSE}', called(LS)),
        (f'{OPEN}[bash(command="ls"), bash(command="ls")]{CLOSE}<|im_end|>', called(LS, LS)),
        (f'{OPEN}[bash(command="ls")]{CLOSE}\n{OPEN}[bash(command="ls")]{CLOSE}', called(LS, LS)),
        (f'I look.\n{OPEN}[bash(command="ls")]{CLOSE}\nDone.', called(LS, content="I look.\nDone.")),
        (f'{OPEN} [ bash ( command = "ls" , ) , ] {CLOSE}', called(LS)),
        (f'{OPEN}[bash(command="ls")]', called(LS)),
        (f'{OPEN}[bash(command="ls")', called(LS)),
        (f'{OPEN}bash(command="ls"){CLOSE}', called(LS)),
        (f"{OPEN}[list_files()]{CLOSE}", called(Call("list_files", "{}", True))),
        (f"{OPEN}[Bash(command='ls')]{CLOSE}", called(LS)),
        (f"{OPEN}[zap.it(x=1)]{CLOSE}", called(Call("zap.it", '{"x":1}', True))),
        (f'<think>\nHm.\n</think>\n{OPEN}[bash(command="ls")]{CLOSE}', called(LS, reasoning="Hm.")),
        ('[bash(command="ls")]', Reading('[bash(command="ls")]')),
    ],
)
def test_between_markers(text: str, expected: Reading) -> None:
    assert read(LFM2, text) == expected


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ("''", ""), ('""', ""), ("''''''", ""), ('"a"', "a"), ("'a\"b'", 'a"b'), ('"it\'s"', "it's"),
        (r'"\n\t\\\"\'\x41\101\u00e9\U0001F600\0"', "\n\t\\\"'AAé😀\0"), (r'"\d \/ \q"', "\\d / \\q"),
        (r'"\ud83d\ude00"', "😀"), (r'"\ud83d x"', "\ufffd x"), (r'"\ude00"', "\ufffd"), ('"a\\\nb"', "ab"),
        ('"a\nb"', "a\nb"), ('"""a "b" \'\'\'\nc"""', "a \"b\" '''\nc"), ("'''it's'''", "it's"),
        (r'r"\d\""', '\\d\\"'),
        ('"a" \'b\' """c"""', "abc"), ('("a"\n "b")', "ab"), (r'"ends in \\"', "ends in \\"), ("u'a'", "a"),
        ("0", 0), ("-5", -5), ("+5", 5), ("1_000", 1000), ("0x1F", 31), ("1.5", 1.5), (".5", 0.5),
        ("5.", 5.0),
        ("1e3", 1000.0), ("007", "007"), ("True", True), ("False", False), ("None", None), ("true", True),
        ("null", None), ("[]", []), ("[1, 'a', [None]]", [1, "a", [None]]), ("(1, 2)", [1, 2]), ("(1,)", [1]),
        ("()", []), ("(1)", 1), ("((1, 2), (3))", [[1, 2], 3]), ("{}", {}),
        ("{'a': {'b': [1,],},}", {"a": {"b": [1]}}),
        ("{1: 'a', 'b': (2)}", {"1": "a", "b": 2}),
    ],
)  # fmt: skip
def test_literals(literal: str, value: object) -> None:
    assert arguments(f"zap(x={literal})") == {"x": value}
    assert arguments(f"zap(x=[{literal}, 1], y={{'k': {literal}}})") == {"x": [value, 1], "y": {"k": value}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bash(command=007)", {"command": "007"}),
        ("bash(command=true)", {"command": "true"}),
        ("bash(command=1.50)", {"command": "1.50"}),
        ("bash(timeout=007)", {"timeout": 7}),
        ("bash(timeout='5')", {"timeout": 5}),
        ("bash(timeout='five')", {"timeout": "five"}),
        ("todowrite(todos='[{\"a\": 1}]', merge='true')", {"todos": [{"a": 1}], "merge": True}),
        ("read(limit=None)", {"limit": None}),
        ("bash('ls', 5)", {"command": "ls", "timeout": 5}),
        ("bash('ls', timeout=5)", {"command": "ls", "timeout": 5}),
        ("zap(from=1, class_='x')", {"from": 1, "class_": "x"}),
    ],
)
def test_the_schema_decides(text: str, expected: object) -> None:
    assert arguments(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "zap('x')", "bash(timeout=5, 'ls')", "bash('ls', 5, 6)", "bash(command='a', command='b')",
        "bash(command=x)",
        "bash(command=1 + 2)", "bash(command='a' + 'b')", "bash(command=f'{x}')",
        "bash(command=open('x').read())",
        "bash(command='a' timeout=5)", "bash(command=)", "bash(command='a',,)", "bash(**{'a': 1})",
        "bash(*[1])",
        "bash(command=[1)", "bash(command={1, 2})", "bash(command={'a'})", "bash(command=lambda: 1)",
        "bash(command=1 if x else 2)", "bash(command='say \"hi' \"there\" x)",
        "bash(command=__import__('os'))",
        "zap(x={[1]: 2})", "zap(x=1__import__)", "zap(x=" + "[" * 300, "zap(x=" + "9" * 600 + ")",
        "bash(command==1)",
    ],
)  # fmt: skip
def test_whatever_is_no_literal_is_refused(text: str) -> None:
    reading = read(LFM2, f"{OPEN}[{text}]{CLOSE}")
    assert not any(call.ended for call in reading.calls)
    assert reading.reason is FinishReason.LENGTH


@pytest.mark.parametrize(
    "value",
    [
        ")]" + CLOSE,
        OPEN + "[",
        "a \"b\" 'c' \\ {d} ```",
        "é 漢字 😀 \u2028",
        "<x>&amp;</x>\n",
        "\\",
        "'''",
        '"""',
    ],
)
def test_texts_with_anything_in_them(value: str) -> None:
    for text in (repr(value), json.dumps(value), json.dumps(value, ensure_ascii=False)):
        assert arguments(f"bash(command={text})") == {"command": value}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[bash(command="ls")]', called(LS)),
        ('[bash(command="ls"), bash(command="ls")]', called(LS, LS)),
        ('I look.\n[bash(command="ls")]', called(LS, content="I look.")),
        ("[list_files()]", called(Call("list_files", "{}", True))),
        ('[bash(command="ls")]<|eot_id|>', called(LS)),
    ],
)
def test_alone(text: str, expected: Reading) -> None:
    assert read(PYTHONIC, text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "[bash(command=5)]", "[bash(command=x)]", "[bash('ls')]", "[zap(x=1)]", "[1, 2]",
        "[bash](http://x)", "- [x] y",
        "[bash(x) for x in y]", "[bash(command='ls'), zap(x=1)]", "see [bash(command=...)]",
        "x[0] = [f(1)]", "[",
        "bash(command='ls')", "[bash(command='ls'", "[bash(command='ls',", "[ bash is a shell ]",
    ],
)  # fmt: skip
def test_alone_it_takes_a_call_that_fits(text: str) -> None:
    assert read(PYTHONIC, text) == Reading(text)
    assert read(PYTHONIC, f"So: {text} ok") == Reading(f"So: {text} ok")


def test_without_tools_calls_pass_untouched() -> None:
    for form, text in ((LFM2, f"{OPEN}[bash(command='ls')]{CLOSE}"), (PYTHONIC, "[bash(command='ls')]")):
        assert read(form, text, ()) == Reading(text)


def test_one_call_at_most() -> None:
    for form, text in (
        (LFM2, f"{OPEN}[bash(command='ls'), zap()]{CLOSE}"),
        (PYTHONIC, "[bash(command='ls')]" * 2),
    ):
        assert read(form, text, parallel=False) == called(LS)


def test_cut_anywhere() -> None:
    text = f'{OPEN}[bash(command=(\'a\' """b\\n"""), timeout=5), zap(x={{\'y\': [1, None]}})]{CLOSE}'
    assert_cut_anywhere(LFM2, text, markers=(OPEN, CLOSE))


def test_pieces_go_out_as_they_come() -> None:
    machine = PushMachine(LFM2, TOOLS, 0, new_id=lambda: "a")
    assert machine.feed(f"{OPEN}[ba") == []
    assert machine.feed("sh(comm") == [ToolCallStarted(0, 0, "a", "bash")]
    assert machine.feed("and='l") == [ToolCallArguments(0, 0, '{"command":"l')]
    assert machine.feed("s\\") == [ToolCallArguments(0, 0, "s")]
    assert machine.feed("n'") == [ToolCallArguments(0, 0, "\\n")]
    assert machine.feed(",") == [ToolCallArguments(0, 0, '"')]


def test_llamas_built_in_tools() -> None:
    reader = PythonCallReader(LFM2, Toolbox(TOOLS))
    steps = reader.feed('brave_search.call(query="x") and')
    assert steps == [Start("brave_search"), Arguments('{"query":"x"}'), End()]
    assert (reader.state, reader.rest) == (ReaderState.DONE, " and")
    offered = PythonCallReader(LFM2, Toolbox((tool("a.call"),)))
    assert offered.feed("a.call()")[0] == Start("a.call")


NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(NAMES, VALUES, max_size=4), st.sampled_from([repr, ascii]))
@settings(derandomize=True, deadline=None, max_examples=200)
def test_arguments_come_back(values: dict[str, object], write: Any) -> None:
    text = ", ".join(f"{name}={write(value)}" for name, value in values.items())
    assert arguments(f"zap({text})") == values


PIECES = st.lists(
    st.sampled_from(
        [OPEN, CLOSE, "[", "]", "(", ")", "{", "}", ",", "=", ":", "'", '"', '"""', "\\", "bash",
        "command", "x", "1",
         "None", "r", " ", "\n", "é", "command='ls'", "bash(command='ls')", "\\x4", "\\ud83d", "."]
    ),
    max_size=14,
).map("".join)  # fmt: skip


@given(PIECES, st.booleans(), st.sampled_from([LFM2, PYTHONIC]))
@settings(derandomize=True, deadline=None, max_examples=400)
def test_any_text_is_read_the_same_in_any_pieces(text: str, cut_off: bool, form: Any) -> None:
    for each in (text, f"{OPEN}[bash({text}"):
        reading = read(form, each, cut_off=cut_off)
        half = len(each) // 2
        assert read_pieces(form, [each[:half], each[half:]], cut_off=cut_off) == reading


def test_long_arguments_take_linear_time() -> None:
    def seconds(size: int, value: tuple[str, str, str]) -> float:
        text = f"{OPEN}[bash(command={value[0]}{value[1] * (size // len(value[1]))}{value[2]})]"
        began = process_time()
        assert read_pieces(LFM2, list(text)).calls[0].name == "bash"
        return process_time() - began

    for value in (('"', "ab\\n'", '"'), ("[", "(1, 2), ", "]"), ("(", "'a' ", ")")):
        seconds(1_000, value)
        assert seconds(50_000, value) < 40 * max(seconds(5_000, value), 0.01)

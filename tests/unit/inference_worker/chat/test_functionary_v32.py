"""Answers in parts to recipients, as Functionary 3.2 writes them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.chat import FinishReason
from services.inference_worker.chat.formats import FORMATS
from tests.unit.inference_worker.chat.reading import Call, Reading, read, read_pieces
from tests.unit.inference_worker.chat.truncation import assert_cut_anywhere

V32 = FORMATS["functionary_v32"]
JSON = '{"command": "ls"}'
CALL = f">>>bash\n{JSON}"
LS = Call("bash", JSON, True)
TAIL = "<|start_header_id|>assistant<|end_header_id|>\n\n>>>"


def called(*calls: Call, content: str = "") -> Reading:
    return Reading(content, "", list(calls), FinishReason.TOOL_CALLS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (">>>all\nHello.", Reading("Hello.")),
        (CALL, called(LS)),
        (CALL + CALL, called(LS, LS)),
        (f"{CALL}\n{CALL}\n", called(LS, LS)),
        (f">>>all\nI look.{CALL}", called(LS, content="I look.")),
        (f">>>all\nI look.\n{CALL}<|eot_id|>", called(LS, content="I look.")),
        (f"{CALL}\n>>>all\nDone.", called(LS, content="Done.")),
        (f">>>all\nOne.\n\n{CALL}\n>>>all\nTwo.\n", called(LS, content="One.\nTwo.\n")),
        (f"{CALL} Done.", called(LS, content="Done.")),
        (f">>>Bash\r\n{JSON}", called(LS)),
        (f">>>functions.bash\n\n{JSON}", called(LS)),
        (">>>list_files\n{}", called(Call("list_files", "{}", True))),
        ('>>>zap\n{"x": 1}', called(Call("zap", '{"x": 1}', True))),
        ("Hello.", Reading("Hello.")),
    ],
)
def test_parts(text: str, expected: Reading) -> None:
    assert read(V32, text) == expected
    if text.startswith(">>>"):
        assert read(V32, text.removeprefix(">>>"), prompt_tail=TAIL) == expected


@pytest.mark.parametrize(
    "text",
    [
        "x >>> 2 and a >> b", "Type\n>>> print(1)\n1\n>>>\n", ">>>bash", ">>>bash is a shell",
        ">>>bash\nls -la", ">>>bash\n[1]", ">>>", ">>", ">>>print(1)\n{}", ">>>1\n{}",
        ">>>bash\n{command: ls}",
    ],
)  # fmt: skip
def test_text_that_only_looks_like_a_part(text: str) -> None:
    assert read(V32, "So: " + text + " ok") == Reading("So: " + text + " ok")


@pytest.mark.parametrize("text", ["Hello", "Hello\nyou", "\n", "1\n{}", "print(1)\n", "{}"])
def test_an_answer_that_names_nobody(text: str) -> None:
    assert read(V32, text, prompt_tail=TAIL) == Reading(text)


@pytest.mark.parametrize(
    "value", [">>>bash\n{}", "\n>>>all\nHi", 'a "b" {c} \\ </x>', "é 漢字 😀 \u2028", "<|eot_id|>"]
)
def test_values_with_anything_in_them(value: str) -> None:
    body = json.dumps({"command": value}, ensure_ascii=False)
    assert read(V32, f">>>bash\n{body}\n>>>all\nDone.") == called(Call("bash", body, True), content="Done.")


def test_a_call_that_breaks_never_ends() -> None:
    reading = read(V32, f'>>>bash\n{{"command": "ls", x}} more\n{CALL}')
    assert reading == called(Call("bash", '{"command": "ls", '), LS)


def test_without_tools_calls_pass_untouched() -> None:
    assert read(V32, f">>>all\nHello.{CALL}", ()) == Reading("Hello." + CALL)
    assert read(V32, CALL, ()) == Reading(CALL)


def test_one_call_at_most() -> None:
    assert read(V32, f"{CALL}{CALL}>>>all\nDone.", parallel=False) == called(LS)


def test_cut_anywhere() -> None:
    assert_cut_anywhere(V32, f">>>all\nI look.{CALL}>>>read\n{{}}", markers=(">>>",))


@pytest.mark.parametrize("end", range(1, len(CALL)))
def test_a_call_that_was_cut_off_is_not_completed(end: int) -> None:
    reading = read(V32, CALL[:end], cut_off=True)
    assert reading.reason is FinishReason.LENGTH
    assert not any(call.ended for call in reading.calls)
    assert "bash" not in reading.content


@given(
    st.lists(
        st.sampled_from(
            [">>>", ">", "all", "bash", "\n", JSON, "{", "}", '"', "words", " ", "<|eot_id|>", "é"]
        ),
        max_size=14,
    ).map("".join),
    st.booleans(),
    st.sampled_from(["", TAIL]),
)
@settings(derandomize=True, deadline=None, max_examples=400)
def test_any_text_is_read_the_same_in_any_pieces(text: str, cut_off: bool, tail: str) -> None:
    reading = read(V32, text, cut_off=cut_off, prompt_tail=tail)
    assert "<|eot_id|>" not in reading.content
    half = len(text) // 2
    assert read_pieces(V32, [text[:half], text[half:]], cut_off=cut_off, prompt_tail=tail) == reading

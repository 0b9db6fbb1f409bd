"""Whatever the pieces in which a text arrives, the same is understood; what was meant comes back."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.inference_worker.chat.formats import FORMATS, HERMES_JSON, QWEN3_CODER_XML, Format
from tests.unit.inference_worker.chat.reading import STRING, Reading, read, read_pieces, tool

STEADY = settings(derandomize=True, deadline=None, max_examples=150)

TOOLS = (tool("bash", command=STRING, n={"type": "integer"}, o={"type": ["object", "null"]}), tool("read"))

FRAGMENTS = [
    "<tool_call>", "</tool_call>", "\n<tool_call>\n", "\n</tool_call>\n", "<tool", "_call>", "</", "<", ">",
    '{"name": "bash", "arguments": {"command": "ls"}}', '{"name": "bash", "arguments": ', '{"command": "',
    '{"arguments": {"n": 1}, "name": "BASH"}', "{", "}", "[", "]", '"', "\\", "\\u00e9", "\\ud83d\\ude00",
    "\\ud83d",     ":", ",", "null", "true", "-1.5e3", '"name"', '"arguments"', '"{\\"n\\": 1}"',
    "<function=bash>", "<function=", "</function>", "<parameter=command>", "<parameter=n>", "<parameter=o>",
    "</parameter>", "\n</parameter>\n", "<think>", "</think>", "<thi", "nk>", "prose",
    " ", "\n", "\n\n", "\r\n", "\t",
    "é", "😀", "漢字", "\u2028", "\x00", " " * 300,
]  # fmt: skip

FORMS = st.sampled_from(sorted(FORMATS.values(), key=lambda record: record.name))
OUTPUTS = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=4), max_size=25).map("".join)
CALLS = st.sampled_from(
    [
        '<tool_call>\n{"name": "bash", "arguments": {"command": "ls </tool_call>"}}\n</tool_call>',
        "<tool_call>\n<function=bash>\n<parameter=command>\nls\n</parameter>\n<parameter=n>\n5\n</parameter>\n"
        "</function>\n</tool_call>",
    ]
)


@st.composite
def damaged_calls(draw: st.DrawFn) -> str:
    """A call in which some characters were replaced."""
    text = draw(CALLS)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.sampled_from(FRAGMENTS)) + text[at + draw(st.integers(0, 3)) :]
    return text


@st.composite
def pieces(draw: st.DrawFn, text: str) -> list[str]:
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@given(st.data(), FORMS, OUTPUTS | damaged_calls(), st.booleans(), st.booleans(), st.booleans())
@settings(STEADY, max_examples=500)
def test_any_split_gives_the_same(
    data: st.DataObject, form: Format, text: str, cut_off: bool, parallel: bool, opened: bool
) -> None:
    tail = "<think>\n" if opened else ""
    whole = read(form, text, TOOLS, cut_off=cut_off, prompt_tail=tail, parallel=parallel)
    cut = read_pieces(
        form, data.draw(pieces(text)), TOOLS, cut_off=cut_off, prompt_tail=tail, parallel=parallel
    )
    assert cut == whole
    if not parallel:
        assert len(whole.calls) <= 1


@STEADY
@given(FORMS, OUTPUTS)
def test_text_without_tools_is_untouched(form: Format, text: str) -> None:
    if "<think>" not in text:
        assert read(form, text, ()) == Reading(content=text)


NAMES = st.text("abcdefghijklmnopqrstuvwxyz_-ABC0123456789.", min_size=1, max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)
PROSE = st.text(max_size=12).filter(lambda text: "<" not in text and text == text.strip())


@STEADY
@given(st.data(), PROSE, st.lists(st.tuples(NAMES, st.dictionaries(st.text(), JSON)), min_size=1, max_size=3))
def test_hermes_calls_come_back(
    data: st.DataObject, prose: str, calls: list[tuple[str, dict[str, Any]]]
) -> None:
    ascii_only = data.draw(st.booleans())
    text = prose
    for name, arguments in calls:
        body = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=ascii_only)
        text += f"\n<tool_call>\n{body}\n</tool_call>"
    reading = read_pieces(HERMES_JSON, data.draw(pieces(text)), [tool(name) for name, _ in calls])
    assert reading.whole_calls() == calls
    assert reading.content == prose


# A value that prints the structure of a call around a closer cannot be told from the end of the call.
VALUES = st.lists(
    st.text(max_size=6)
    | st.sampled_from(["\n", "</parameter>", "</tool_call>", "<function=x>", '"', "\\", "<"]),
    max_size=8,
).map("".join)


def tells_no_structure(value: str) -> bool:
    compact = "".join(value.split())
    return not any(
        closer + follower in compact
        for closer in ("</parameter>", "</function>")
        for follower in (
            "</parameter>",
            "</function>",
            "</tool_call>",
            "<tool_call>",
            "<function=",
            "<parameter=",
        )
    ) and not compact.endswith("</parameter>")


@STEADY
@given(st.data(), PROSE, NAMES, st.dictionaries(NAMES, VALUES.filter(tells_no_structure), max_size=4))
def test_xml_calls_come_back(data: st.DataObject, prose: str, name: str, values: dict[str, str]) -> None:
    parameters = "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in values.items())
    text = f"{prose}\n<tool_call>\n<function={name}>\n{parameters}</function>\n</tool_call>"
    offered = [tool(name, **dict.fromkeys(values, STRING))]
    reading = read_pieces(QWEN3_CODER_XML, data.draw(pieces(text)), offered)
    assert reading.whole_calls() == [(name, values)]
    assert reading.content == prose

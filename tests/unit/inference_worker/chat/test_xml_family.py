"""Calls with raw values between markers, in the spellings of all families."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from services.common.chat import FinishReason
from services.inference_worker.chat.formats import FORMATS, Format
from tests.unit.inference_worker.chat.reading import STRING, TOOLS, Reading, read, read_everywhere, tool

NAMES = ("qwen3_coder_xml", "seed_oss", "minimax_m2", "deepseek_dsml")
INTEGER = {"type": "integer"}


@dataclass(frozen=True)
class Family:
    form: Format
    lines: bool  # whether values stand on lines of their own

    def parameter(self, key: str, value: str, attribute: str = "true") -> str:
        form = self.form
        said = f"{form.string_attribute}{attribute}" if form.string_attribute else ""
        body = f"\n{value}\n" if self.lines else value
        return f"{form.parameter.open}{key}{said}{form.parameter.close}{body}{form.parameter_close}"

    def function(self, name: str, **values: str) -> str:
        inner = "".join(f"{self.parameter(key, value)}\n" for key, value in values.items())
        return f"{self.form.function.open}{name}{self.form.function.close}\n{inner}{self.form.function_close}"

    def block(self, *functions: str) -> str:
        return f"{self.form.call.open}\n" + "\n".join(functions) + f"\n{self.form.call.close}"


FAMILIES = [Family(FORMATS[name], lines) for name in NAMES for lines in (False, True)]
FAMILY = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: f"{family.form.name}-{family.lines}")


@FAMILY
def test_calls_and_prose(family: Family) -> None:
    ls, files = family.function("bash", command="ls"), family.function("list_files")
    text = f"One.\n\n{family.block(ls, files)}\nTwo.\n{family.block(ls)}\n"
    reading = read_everywhere(family.form, text)
    assert reading.whole_calls() == [
        ("bash", {"command": "ls"}),
        ("list_files", {}),
        ("bash", {"command": "ls"}),
    ]
    assert reading.content == "One.\nTwo."


@FAMILY
def test_a_string_stays_as_it_is(family: Family) -> None:
    close = family.form.parameter_close
    for value in ("007", "true", "null", " x ", '{"a": 1}', f"a {close} b", "<|im_end|>", "say \"hi\" \\n",
                  "é😀", f"x{family.form.call.close}", "a\n\nb", f"if '{close}' in x:\n  pass"):  # fmt: skip
        text = family.block(family.function("bash", command=value, timeout="5"))
        assert read(family.form, text).whole_calls() == [("bash", {"command": value, "timeout": 5})], value


@FAMILY
def test_one_newline_on_each_side_is_markup(family: Family) -> None:
    for value in ("\nls\n", "\n\nls", "ls\n\n"):
        text = family.block(family.function("bash", command=f"\n{value}\n" if not family.lines else value))
        assert read(family.form, text).whole_calls() == [("bash", {"command": value})]


@FAMILY
def test_whole_calls_without_their_closers(family: Family) -> None:
    whole = family.block(family.function("bash", command="ls"))
    end = whole.index(family.form.parameter_close) + len(family.form.parameter_close)
    for text in (whole[:end], whole[: end + 1], whole[:end] + "<|im_end|>", whole[:end] + "\n<|im_end|>\n",
                 whole[: -len(family.form.call.close)], whole + family.form.call.close):  # fmt: skip
        reading = read_everywhere(family.form, text)
        assert reading.whole_calls() == [("bash", {"command": "ls"})], text
        assert (reading.content, reading.reason) == ("", FinishReason.TOOL_CALLS), text


@FAMILY
def test_every_truncation_is_cut_off(family: Family) -> None:
    text = family.block(family.function("bash", command="ls", timeout="5"))
    whole = text.index(family.form.function_close) + len(family.form.function_close)
    for end in range(len(family.form.call.open), len(text)):
        reading = read(family.form, text[:end], cut_off=True)
        assert (reading.content, reading.reason) == ("", FinishReason.LENGTH)
        assert bool(reading.whole_calls()) == (end >= whole)


@FAMILY
def test_a_mention_is_text(family: Family) -> None:
    form = family.form
    for text in (
        f"The tag {form.call.open} opens it.",
        f"{form.function.open}bash{form.function.close} alone",
        f"{form.call.open}\nls\n{form.call.close}",
        f"It ends with {form.parameter_close}.",
    ):
        assert read_everywhere(form, text) == Reading(content=text)
    call = family.block(family.function("bash", command="ls"))
    assert read(form, call, ()) == Reading(content=call)


@FAMILY
def test_drafts_and_calls_in_reasoning(family: Family) -> None:
    assert family.form.reasoning is not None
    tags = family.form.reasoning
    call = family.block(family.function("bash", command="ls"))
    assert read(family.form, f"{tags.open}so {call} no{tags.close}\n\nNo.") == Reading("No.", f"so {call} no")
    unclosed = read(family.form, f"{tags.open}I list.\n{call}")
    assert (unclosed.reasoning, unclosed.whole_calls()) == ("I list.", [("bash", {"command": "ls"})])


DSML = Family(FORMATS["deepseek_dsml"], False)


@pytest.mark.parametrize(
    ("schema", "attribute", "raw", "expected"),
    [
        (None, "true", "5", "5"),
        (None, "false", "5", 5),
        (None, "false", '["a", {"b": null}]', ["a", {"b": None}]),
        (None, "false", '"a"', "a"),
        (None, "false", "no json", "no json"),
        (STRING, "true", "007", "007"),
        (STRING, "false", "007", "007"),
        (STRING, "false", "5", "5"),
        (STRING, "false", '"ls"', "ls"),
        (INTEGER, "false", "5", 5),
        (INTEGER, "true", "5", 5),
        (INTEGER, "false", "five", "five"),
        ({"type": ["string", "integer"]}, "true", "5", "5"),
        ({"type": ["string", "integer"]}, "false", "5", 5),
        ({"type": "number"}, "false", "1.5e3", 1500.0),
        ({"type": "boolean"}, "false", "true", True),
    ],
)
def test_an_attribute_tells_text_from_json_where_the_schema_leaves_it_open(
    schema: dict[str, object] | None, attribute: str, raw: str, expected: object
) -> None:
    offered = tool("act", **({} if schema is None else {"value": schema}))
    inner = DSML.parameter("value", raw, attribute)
    name = DSML.form.function
    text = DSML.block(f"{name.open}act{name.close}\n{inner}\n{DSML.form.function_close}")
    assert read_everywhere(DSML.form, text, (offered,)).whole_calls() == [("act", {"value": expected})]


def test_both_names_of_the_section_are_read() -> None:
    text = DSML.block(DSML.function("bash", command="ls")).replace("function_calls", "tool_calls")
    assert read_everywhere(DSML.form, text + "<｜end▁of▁sentence｜>").whole_calls() == [
        ("bash", {"command": "ls"})
    ]


@pytest.mark.parametrize("behind", ["", "\n", " \nDone.", "\n<tool_call>", "<|im_end|>"])
def test_a_closer_on_the_values_own_line_counts_where_the_call_ends_with_it(behind: str) -> None:
    text = "<tool_call>\n<function=bash>\n<parameter=command>\nls</parameter></function></tool_call>" + behind
    reading = read_everywhere(FORMATS["qwen3_coder_xml"], text, TOOLS)
    assert reading.whole_calls() == [("bash", {"command": "ls"})]
    assert reading.content == behind.strip().removesuffix("<tool_call>").removesuffix("<|im_end|>")


def test_a_closer_on_the_values_own_line_counts_before_another_parameter() -> None:
    text = "<function=bash>\n<parameter=command>\nls</parameter><parameter=timeout>5</parameter></function>"
    reading = read_everywhere(FORMATS["qwen3_coder_xml"], text, TOOLS)
    assert reading.whole_calls() == [("bash", {"command": "ls", "timeout": 5})]

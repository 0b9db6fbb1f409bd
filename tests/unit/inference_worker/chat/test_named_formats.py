"""Calls whose name stands before their arguments, which are one JSON object."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from services.common.chat import FinishReason, Tool, ToolCallArguments, ToolCallEnded, ToolCallStarted
from services.inference_worker.chat.formats import FORMATS
from services.inference_worker.chat.machine import PushMachine
from tests.unit.inference_worker.chat.reading import TOOLS, Call, Reading, read, tool


@dataclass(frozen=True)
class Spelling:
    """How a template prints calls: each of them, and what stands around them."""

    format: str
    call: Callable[[str, str, int], str]
    around: tuple[str, str] = ("", "")
    between: str = ""

    def calls(self, *calls: tuple[str, str]) -> str:
        each = [self.call(name, arguments, number) for number, (name, arguments) in enumerate(calls)]
        return self.around[0] + self.between.join(each) + self.around[1]


V3_SECTION = ("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜><｜end▁of▁sentence｜>")
KIMI_SECTION = ("<|tool_calls_section_begin|>", "<|tool_calls_section_end|>")


def deepseek_v3(name: str, arguments: str, number: int = 0) -> str:
    body = f"function<｜tool▁sep｜>{name}\n```json\n{arguments}\n```"
    return f"<｜tool▁call▁begin｜>{body}<｜tool▁call▁end｜>"


def deepseek_v31(name: str, arguments: str, number: int = 0) -> str:
    return f"<｜tool▁call▁begin｜>{name}<｜tool▁sep｜>{arguments}<｜tool▁call▁end｜>"


def kimi(name: str, arguments: str, number: int = 0) -> str:
    head = f"functions.{name}:{number}<|tool_call_argument_begin|>"
    return f"<|tool_call_begin|>{head}{arguments}<|tool_call_end|>"


SPELLINGS = {
    "mistral, with ids": Spelling(
        "mistral_args", lambda name, json, number: f"[TOOL_CALLS]{name}[CALL_ID]q7Xz0000{number}[ARGS]{json}"
    ),
    "mistral": Spelling("mistral_args", lambda name, json, number: f"[TOOL_CALLS]{name}[ARGS]{json}"),
    "mistral, bare": Spelling("mistral_args", lambda name, json, number: f"[TOOL_CALLS]{name}{json}"),
    "deepseek_v3": Spelling("deepseek_v3", deepseek_v3, V3_SECTION, "\n"),
    "deepseek_v3, no section": Spelling("deepseek_v3", deepseek_v3, between="\n"),
    "deepseek_v3, distilled": Spelling(
        "deepseek_v3",
        lambda name, json, number: f"function<｜tool▁sep｜>{name}\n```json\n{json}\n```<｜tool▁call▁end｜>",
        ("<｜tool▁calls｜>", "<｜tool▁calls▁end｜>"),
        "\n",
    ),
    "deepseek_v31": Spelling("deepseek_v31", deepseek_v31, V3_SECTION),
    "deepseek_v31, no section": Spelling("deepseek_v31", deepseek_v31),
    "kimi_k2": Spelling("kimi_k2", kimi, KIMI_SECTION),
    "kimi_k2, no section": Spelling("kimi_k2", kimi),
    "functionary_v31": Spelling(
        "functionary_v31", lambda name, json, number: f"<function={name}>{json}</function>"
    ),
    "functionary_v31, lines": Spelling(
        "functionary_v31", lambda name, json, number: f"<function={name}>\n{json}\n</function>", between="\n"
    ),
}
LS = ("bash", '{"command": "ls"}')
READ = ("read", '{"filePath": "a.py", "limit": null}')
FORMAT_NAMES = sorted({spelling.format for spelling in SPELLINGS.values()})

every_spelling = pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS.keys())
every_format = pytest.mark.parametrize("name", FORMAT_NAMES)


def called(*calls: tuple[str, str], content: str = "") -> Reading:
    return Reading(
        content=content,
        calls=[Call(name, arguments, True) for name, arguments in calls],
        reason=FinishReason.TOOL_CALLS,
    )


@every_spelling
@pytest.mark.parametrize("calls", [[LS], [LS, READ], [LS, LS, LS]], ids=["one", "two", "three"])
def test_calls_with_text_beside_them(spelling: Spelling, calls: Sequence[tuple[str, str]]) -> None:
    form, text = FORMATS[spelling.format], spelling.calls(*calls)
    assert read(form, text) == called(*calls)
    assert read(form, "I look.\n\n" + text) == called(*calls, content="I look.")
    assert read(form, "I look." + text) == called(*calls, content="I look.")
    assert read(form, text + "\nDone.") == called(*calls, content="Done.")
    assert read(form, "One.\n" + text + "\nTwo.") == called(*calls, content="One.\nTwo.")


VALUES = [
    "",
    'say "hi" \\ \\n \t end',
    "if (a) { b(\"}\"); } else { c['x'] = `y`; }",
    "<div class='a'>\n  <p>{x} && y</p>\n</div>",
    "```json\n{}\n```",
    "é ü 漢字 😀 \u2028 \x00",
    "<think>no</think> [THINK]no[/THINK]",
    "</s><|im_end|><|eot_id|><｜end▁of▁sentence｜>",
    "[TOOL_CALLS]read[CALL_ID]x[ARGS]{}",
    "<｜tool▁call▁end｜><｜tool▁calls▁end｜><｜tool▁calls▁begin｜><｜tool▁call▁begin｜>read<｜tool▁sep｜>{}",
    "\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>read\n```json\n{}",
    "<|tool_call_end|><|tool_calls_section_end|><|tool_call_begin|>functions.read:1<|tool_call_argument_begin|>{}",
    "</function><function=read>{}</function>",
]


@every_spelling
@pytest.mark.parametrize("value", VALUES)
def test_a_value_may_contain_anything(spelling: Spelling, value: str) -> None:
    for ascii_only in (True, False):
        call = ("bash", json.dumps({"command": value}, ensure_ascii=ascii_only))
        assert read(FORMATS[spelling.format], spelling.calls(call, LS)) == called(call, LS)


@every_spelling
@pytest.mark.parametrize(
    "arguments",
    ['{"a": {"b": [1, -2.5e3, true, null, {}]}}', "{}", "{ }", '{\n  "command": "ls"\n}', '{"a":1,"a":2}'],
)
def test_arguments_go_out_as_they_were_written(spelling: Spelling, arguments: str) -> None:
    call = ("bash", arguments)
    assert read(FORMATS[spelling.format], spelling.calls(call)) == called(call)


@every_spelling
def test_names(spelling: Spelling) -> None:
    form = FORMATS[spelling.format]
    for written, meant in [
        ("Bash", "bash"),
        ("functions.bash", "bash"),
        ("FUNCTIONS.BASH", "bash"),
        ("frobnicate", "frobnicate"),
        ("mcp__a-b_c", "mcp__a-b_c"),
    ]:
        assert read(form, spelling.calls((written, "{}"))) == called((meant, "{}"))


@every_spelling
def test_every_truncation_is_cut_off_and_never_completed(spelling: Spelling) -> None:
    form, text = FORMATS[spelling.format], spelling.calls(LS)
    whole = text.index(LS[1]) + len(LS[1])
    first = min(at for at in (text.find(tags.open) + len(tags.open) for tags in form.calls) if at > 0)
    for end in range(first, len(text)):
        reading = read(form, text[:end], cut_off=True)
        assert reading.reason is FinishReason.LENGTH
        assert reading.content == ""
        assert bool(reading.whole_calls()) == (end >= whole)
        assert reading.calls == [] or LS[1].startswith(reading.calls[0].arguments)


@every_spelling
def test_a_whole_call_before_a_cut_one_stays_whole(spelling: Spelling) -> None:
    text = spelling.calls(LS, READ)
    reading = read(FORMATS[spelling.format], text[: text.index("a.py")], cut_off=True)
    assert reading.calls == [Call(*LS, True), Call("read", '{"filePath": "')]
    assert reading.reason is FinishReason.LENGTH
    assert reading.content == ""


@every_spelling
def test_closers_may_be_missing(spelling: Spelling) -> None:
    form, text = FORMATS[spelling.format], spelling.calls(LS)
    whole = text.index(LS[1]) + len(LS[1])
    for end in range(whole, len(text) + 1):
        assert read(form, text[:end]) == called(LS)
    assert read(form, text[:whole] + "\n" + spelling.calls(READ)) == called(LS, READ)
    assert read(form, text[:whole] + "\nDone.") == called(LS, content="Done.")


@every_spelling
@pytest.mark.parametrize(
    "arguments",
    [
        '{"command": ls}',
        '{"command": "a\nb"}',
        '{"command": "a"',
        '{"command": "a",}',
        "{'command': 'a'}",
        '{"command": "print("hi")"}',
        '{"command": "\\ud800"}',
        '{"command": NaN}',
        '{"command": "a"]',
    ],
)
def test_malformed_arguments_never_make_a_whole_call(spelling: Spelling, arguments: str) -> None:
    form = FORMATS[spelling.format]
    reading = read(form, spelling.calls(("bash", arguments)))
    assert not any(call.ended for call in reading.calls)
    if reading.calls:
        assert (reading.content, reading.reason) == ("", FinishReason.LENGTH)
    else:  # a marker that may be prose, before a name was certain
        assert form.name == "functionary_v31"
    following = read(form, spelling.calls(("bash", arguments), READ))
    assert following.whole_calls() == [("read", {"filePath": "a.py", "limit": None})]


@every_format
def test_without_tools_nothing_becomes_a_call(name: str) -> None:
    for spelling in SPELLINGS.values():
        text = spelling.calls(LS).removesuffix("<｜end▁of▁sentence｜>")
        assert read(FORMATS[name], text, tools=()) == Reading(content=text)


@every_spelling
def test_one_call_at_most_where_calls_are_not_parallel(spelling: Spelling) -> None:
    assert read(FORMATS[spelling.format], spelling.calls(LS, READ), parallel=False) == called(LS)


@pytest.mark.parametrize(
    ("format", "text"),
    [
        ("mistral_args", "The marker [TOOL_CALLS] comes first."),
        ("mistral_args", "It ends with [TOOL_CALLS]"),
        ("mistral_args", "[ARGS] and [CALL_ID] alone, a [TOOL"),
        ("mistral_args", "[TOOL_CALLS]: a marker"),
        ("mistral_args", 'bash[ARGS]{"command": "ls"}'),
        ("deepseek_v3", "A function<｜tool▁sep is cut"),
        ("deepseek_v3", "The text <｜tool▁call▁begin｜> opens a call."),
        ("deepseek_v3", 'function bash\n```json\n{"command": "ls"}\n```\nThat is it.'),
        ("deepseek_v31", "The text <｜tool▁call▁begin｜> opens a call."),
        ("kimi_k2", "The text <|tool_call_begin|> opens a call."),
        ("kimi_k2", 'functions.bash:0 {"command": "ls"}'),
        ("functionary_v31", "Use <function=bash> to call it."),
        ("functionary_v31", "Write <function=name>{args}</function> for it."),
        ("functionary_v31", "It is <function=bash>"),
        ("functionary_v31", "<function=a<b>{}</function>"),
        ("functionary_v31", "<function=>{}</function>"),
        ("functionary_v31", '<function name="bash">{}</function>'),
    ],
)
def test_what_is_no_call_stays_text(format: str, text: str) -> None:
    assert read(FORMATS[format], text) == Reading(content=text)


@pytest.mark.parametrize(
    ("format", "text", "call"),
    [
        ("mistral_args", "[TOOL_CALLS]list_files[ARGS]", ("list_files", "{}")),
        ("mistral_args", "[TOOL_CALLS] bash [ARGS] \n" + LS[1], LS),
        ("mistral_args", "[TOOL_CALLS]bash[ARGS]" + json.dumps(LS[1]), LS),
        ("mistral_args", "[TOOL_CALLS]list_files[ARGS]null", ("list_files", "{}")),
        ("mistral_args", '[TOOL_CALLS]list_files[ARGS]""</s>', ("list_files", "{}")),
        ("deepseek_v3", deepseek_v3("list_files", ""), ("list_files", "{}")),
        ("deepseek_v3", deepseek_v3(*LS).replace("```json", "```"), LS),
        ("deepseek_v3", deepseek_v3(*LS).replace("```json\n", "").replace("\n```", ""), LS),
        ("deepseek_v3", deepseek_v3(*LS).replace("\n", "\r\n"), LS),
        ("deepseek_v3", deepseek_v3(*LS).replace("\n```<", "\n```\n<"), LS),
        ("deepseek_v31", deepseek_v31("list_files", ""), ("list_files", "{}")),
        ("kimi_k2", kimi("list_files", ""), ("list_files", "{}")),
        ("kimi_k2", kimi(*LS).replace("functions.", ""), LS),
        ("kimi_k2", kimi(*LS).replace(":0", ""), LS),
        ("kimi_k2", kimi(*LS).replace("<|tool_call_argument_begin|>", " "), LS),
        ("kimi_k2", kimi(*LS).replace("functions", " functions").replace(":0", ":12 "), LS),
        ("kimi_k2", kimi("frobnicate", "{}"), ("frobnicate", "{}")),
        ("kimi_k2", f"<|tool_call_section_begin|>{kimi(*LS)}<|tool_call_section_end|>", LS),
        ("functionary_v31", "<function=list_files></function>", ("list_files", "{}")),
        ("functionary_v31", '<function="bash">' + LS[1] + "</function><|eom_id|>", LS),
    ],
)
def test_spellings_seen_in_the_field(format: str, text: str, call: tuple[str, str]) -> None:
    assert read(FORMATS[format], text) == called(call)


@pytest.mark.parametrize("section", FORMATS["deepseek_v3"].section)
def test_all_openers_of_deepseeks_section(section: object) -> None:
    opener, closer = section.open, section.close  # type: ignore[attr-defined]
    assert read(FORMATS["deepseek_v3"], f"Yes.\n{opener}{deepseek_v3(*LS)}{closer}") == called(
        LS, content="Yes."
    )


def test_reasoning_stands_before_calls() -> None:
    for format, reasoning, call in [
        ("mistral_args", "[THINK]Hm.[/THINK]", "[TOOL_CALLS]bash[ARGS]"),
        (
            "deepseek_v31",
            "<think>Hm.</think>",
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>bash<｜tool▁sep｜>",
        ),
        ("kimi_k2", "<think>Hm.</think>", "<|tool_call_begin|>functions.bash:0<|tool_call_argument_begin|>"),
    ]:
        reading = read(FORMATS[format], f"{reasoning}{call}{LS[1]}")
        assert (reading.reasoning, reading.calls) == ("Hm.", [Call(*LS, True)])
        assert reading.content == ""


def test_mistrals_older_array_is_read_too() -> None:
    text = '[TOOL_CALLS] [{"name": "bash", "arguments": {"command": "ls"}, "id": "abc123def"}]'
    assert read(FORMATS["mistral_args"], text) == called(LS)


def test_the_call_is_told_as_soon_as_its_name_is_known() -> None:
    machine = PushMachine(FORMATS["mistral_args"], TOOLS, 3, new_id=lambda: "call_x")
    assert machine.feed("[TOOL_CALLS]ba") == []
    assert machine.feed("sh[ARG") == []
    assert machine.feed("S]") == [ToolCallStarted(3, 0, "call_x", "bash")]
    assert machine.feed('{"') == [ToolCallArguments(3, 0, '{"')]
    assert machine.feed('command": "ls') == [ToolCallArguments(3, 0, 'command": "ls')]
    assert machine.feed('"') == [ToolCallArguments(3, 0, '"')]
    assert machine.feed("}") == [ToolCallArguments(3, 0, "}"), ToolCallEnded(3, 0)]
    assert machine.finish(False) == ([], FinishReason.TOOL_CALLS)


@pytest.mark.parametrize("name", ["mistral_args", "deepseek_v3", "deepseek_v31", "kimi_k2"])
def test_objects_with_the_name_in_them_are_read_too(name: str) -> None:
    tags = FORMATS[name].call
    text = f'{tags.open}{{"name": "bash", "arguments": {LS[1]}}}{tags.close}'
    assert read(FORMATS[name], text + text) == called(LS, LS)


def test_names_of_any_length_cost_no_more_than_a_limit() -> None:
    for format in FORMAT_NAMES:
        opener = FORMATS[format].call.open + FORMATS[format].function.open
        text = opener + "x" * 300
        assert read(FORMATS[format], text) == Reading(content=text)


CODE_TAG = "<|python_tag|>"
CODE = 'import os\nprint("<function=a>{}</function>", os.sep)  # é\n\n'
PYTHON = tool("python", code={"type": "string"}, timeout={"type": "integer"})


@pytest.mark.parametrize(
    ("offered", "name", "parameter"),
    [
        (PYTHON, "python", "code"),
        (tool("ipython", source={"type": "string"}), "ipython", "source"),
        (tool("python", source={"type": ["string", "null"]}, count={"type": "integer"}), "python", "source"),
    ],
)
def test_functionarys_raw_code_is_a_call_of_the_tool_that_runs_it(
    offered: Tool, name: str, parameter: str
) -> None:
    form, tools = FORMATS["functionary_v31"], (*TOOLS, offered)
    for text, content in [
        (CODE_TAG + CODE, ""),
        ("I compute.\n" + CODE_TAG + CODE, "I compute."),
        (CODE_TAG + CODE + "<|eom_id|>", ""),
    ]:
        reading = read(form, text, tools)
        assert reading.whole_calls() == [(name, {parameter: CODE})]
        assert reading.content == content
        assert reading.reason is FinishReason.TOOL_CALLS
    both = read(form, f"<function=bash>{LS[1]}</function>\n{CODE_TAG}x = 1", tools)
    assert both.whole_calls() == [("bash", {"command": "ls"}), (name, {parameter: "x = 1"})]


def test_functionarys_code_that_is_cut_off_is_no_whole_call() -> None:
    text = CODE_TAG + CODE
    for end in range(1, len(text)):
        reading = read(FORMATS["functionary_v31"], text[:end], (PYTHON,), cut_off=True)
        assert reading.whole_calls() == []
        assert reading.reason is FinishReason.LENGTH


@pytest.mark.parametrize(
    "offered", [tool("bash", command={"type": "string"}), tool("python", a={"type": "string"}, b={})]
)
def test_functionarys_code_is_text_if_no_tool_takes_it(offered: Tool) -> None:
    text = CODE_TAG + "print(1)"
    assert read(FORMATS["functionary_v31"], text, (offered,)) == Reading(content=text)


def test_functionarys_code_streams() -> None:
    machine = PushMachine(FORMATS["functionary_v31"], (PYTHON,), 0, new_id=lambda: "call_x")
    assert machine.feed("<|python_") == []
    assert machine.feed("tag|>print") == [
        ToolCallStarted(0, 0, "call_x", "python"),
        ToolCallArguments(0, 0, '{"code":"print'),
    ]
    assert machine.feed('("') == [ToolCallArguments(0, 0, '(\\"')]

"""Any calls, written as a format's template prints them, come back equal, in whatever pieces they arrive.

SWARM_TOOL_CALLS_EXAMPLES: the long form, so many examples of each format, new ones each time.
"""

from __future__ import annotations

import itertools
import json
import keyword
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.common.chat import ChatRequest, FinishReason, Message, Role, Tool, ToolCall
from services.inference_worker.chat.formats import FORMATS, Format, ValueStyle
from services.inference_worker.chat.template import ChatTemplate
from tests.fakes.render_calls import RENDERERS, Call, render
from tests.fakes.templates import SOURCES
from tests.unit.inference_worker.chat.reading import read_pieces

EXAMPLES = int(os.environ.get("SWARM_TOOL_CALLS_EXAMPLES", "0")) or 100
LONG_FORM = "SWARM_TOOL_CALLS_EXAMPLES" in os.environ
FORM = settings(
    derandomize=not LONG_FORM,
    database=None,
    deadline=None,
    max_examples=EXAMPLES,
    suppress_health_check=list(HealthCheck),
)

# Styles whose texts stand between markers, unescaped; in them parameters have plain names.
RAW = frozenset({ValueStyle.TYPED_XML, ValueStyle.KEYED_XML, ValueStyle.BRACED})
WORDS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,11}", fullmatch=True).filter(
    lambda word: not keyword.iskeyword(word) and word != "all"
)
NAMES = WORDS | st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,11}", fullmatch=True).filter(
    lambda name: name != "all"
)

# Pieces of code and of every format's own markup.
CHUNKS = st.sampled_from(
    sorted(
        {marker for form in FORMATS.values() for marker in form.markers}
        | {
            '"',
            "'",
            "\\",
            "\\n",
            "\n",
            "\r\n",
            "\t",
            "{",
            "}",
            "[",
            "]",
            "(",
            ")",
            "```",
            "```json\n",
            ",",
            ":",
        }
        | {
            '{"name": "bash", "arguments": {',
            "007",
            "true",
            "null",
            "</x>",
            "&lt;",
            "😀",
            "e\u0301",
            "\u2028",
            "<",
        }
    )
)
TEXTS = st.text(max_size=8) | st.lists(CHUNKS | st.text(max_size=3), max_size=8).map("".join)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS


def nested(keys: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    def deeper(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3)

    return st.recursive(SCALARS, deeper, max_leaves=8)


def schema_of(value: object) -> dict[str, str]:
    """A schema that tells the type of `value`."""
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return {"type": names.get(type(value), "null")}


def offered(call: Call) -> Tool:
    name, arguments = call
    properties = {key: schema_of(value) for key, value in arguments.items()}
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return Tool(name, parameters_json=json.dumps(schema))


def can_be_written(form: Format, value: object) -> bool:
    """Whether what the template prints has one reading: a raw text must not print the structure around it."""
    match value:
        case dict() | list() if form.style is ValueStyle.BRACED:
            return all(
                can_be_written(form, each) for each in (value.values() if isinstance(value, dict) else value)
            )
        case str() if form.style is ValueStyle.BRACED:
            return not any(mark in value for mark in ('<|"|>', "<escape>")) and not value.endswith(
                ("<", "<|", '<|"', '<|"|')
            )
    raw = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    compact = "".join(raw.split())
    closers = [close for close in (form.parameter_close, form.value.close, form.function_close) if close]
    # Tight templates: a newline at an edge may be markup.
    on_lines = form.name == "qwen3_coder_xml"
    if not on_lines and (raw.startswith("\n") or raw.endswith("\n")):
        return False
    # A closing tag before one of these is a true one.
    structure = ["".join(marker.split()) for marker in (*form.markers, *form.end_tokens)]
    return not any(close in compact for close in closers) or (
        not any(close + marker in compact for close in closers for marker in structure)
        and not any(compact.endswith(close) for close in closers)
    )


def outputs(form: Format) -> st.SearchStrategy[list[Call]]:
    plain_names = form.style in RAW or form.style is ValueStyle.PYTHON
    names = WORDS if form.style is ValueStyle.PYTHON else NAMES
    keys = WORDS if plain_names else TEXTS
    values = nested(WORDS if form.style is ValueStyle.BRACED else TEXTS)
    if form.style in RAW:
        values = values.filter(lambda value: can_be_written(form, value))
    calls = st.tuples(names, st.dictionaries(keys, values, max_size=4))
    return st.lists(calls, min_size=1, max_size=3, unique_by=lambda call: call[0].lower())


def pieces(text: str, cuts: list[int]) -> list[str]:
    at = sorted(cut % (len(text) + 1) for cut in cuts)
    return [text[a:b] for a, b in itertools.pairwise([0, *at, len(text)])]


def test_every_format_with_calls_has_a_renderer() -> None:
    assert set(RENDERERS) == {name for name, form in FORMATS.items() if form.style is not None}


@pytest.mark.timeout(7200 if LONG_FORM else 120)
@pytest.mark.parametrize("name", sorted(RENDERERS))
def test_calls_come_back(name: str) -> None:
    form = FORMATS[name]

    @FORM
    @given(outputs(form), st.lists(st.integers(0, 2000), max_size=6))
    def check(calls: list[Call], cuts: list[int]) -> None:
        reading = read_pieces(form, pieces(render(name, calls), cuts), [offered(call) for call in calls])
        assert json.dumps(reading.whole_calls()) == json.dumps(calls)
        assert (reading.content, reading.reasoning) == ("", "")
        assert reading.reason is FinishReason.TOOL_CALLS

    check()


# Harmony's template puts the recipient into the role's header, its models into the channel's.
# Phi-4-mini's older template only says how calls are written.
PRINTED = {name: name for name in sorted(set(SOURCES) & set(RENDERERS) - {"harmony", "phi4_mini"})}
PRINTED["phi4_mini"] = "phi4_mini.prints"


@pytest.mark.parametrize("name", PRINTED)
def test_the_renderer_writes_what_the_template_prints(name: str) -> None:
    call = ("bash", {"command": "ls -la 'a b'", "timeout": 5})
    history = (
        Message(Role.USER, "List the files."),
        Message(Role.ASSISTANT, tool_calls=(ToolCall("call00001", call[0], json.dumps(call[1])),)),
        Message(Role.TOOL, "a.py", tool_call_id="call00001", name="bash"),
        Message(Role.USER, "Thanks."),
    )
    prompt = ChatTemplate(SOURCES[PRINTED[name]], "<s>", "</s>", "m").render(
        ChatRequest("m", history, (offered(call),))
    )
    assert "".join(render(name, [call]).split()) in "".join(prompt.split())

"""What a case of the corpus says, and the tools that its requests offer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.common.chat import FinishReason, Tool

# A call as an agent runs it: the tool's name and its arguments.
Call = tuple[str, Mapping[str, object]]


def tool(name: str, required: Sequence[str] = (), closed: bool = False, **properties: object) -> Tool:
    """`closed`: no parameters beside the declared ones."""
    schema: dict[str, object] = {"type": "object", "properties": properties, "required": list(required)}
    if closed:
        schema["additionalProperties"] = False
    return Tool(name, f"What {name} does.", json.dumps(schema))


_TEXT = {"type": "string"}
_WHOLE = {"type": "integer"}

TOOLS: tuple[Tool, ...] = (
    tool("bash", ["command"], command=_TEXT, timeout=_WHOLE),
    tool("read", ["filePath"], True, filePath=_TEXT, offset=_WHOLE, limit={"type": ["integer", "null"]}),
    tool("write", ["content", "filePath"], content=_TEXT, filePath=_TEXT),
    tool("list_files"),
    tool(
        "typed",
        text=_TEXT,
        count=_WHOLE,
        ratio={"type": "number"},
        flag={"type": "boolean"},
        data={"type": "object"},
        items={"type": "array"},
        maybe={"anyOf": [_WHOLE, {"type": "null"}]},
        kind={"enum": ["a", "b"]},
    ),
    tool("todowrite", ["todos"], todos={"type": "array", "items": {"type": "object"}}),
    tool("get-weather", ["city"], city=_TEXT, days=_WHOLE),
)

LS: Call = ("bash", {"command": "ls"})
PWD: Call = ("bash", {"command": "pwd"})
READ: Call = ("read", {"filePath": "a.py"})
LIST: Call = ("list_files", {})


@dataclass(frozen=True, slots=True)
class Case:
    """One output of a model and what the client must get of it.

    calls: the whole calls; one that was begun and is not whole is no call.
    content: None where the rules leave it open; then only its growth is checked.
    finish: None for tool_calls where there are calls, else stop.
    negative: looks like a call, or like something else, and is not.
    """

    id: str
    text: str
    calls: tuple[Call, ...] = ()
    content: str | None = ""
    reasoning: str = ""
    finish: FinishReason | None = None
    tools: tuple[Tool, ...] = TOOLS
    prompt_tail: str = ""
    cut_off: bool = False
    parallel: bool = True
    negative: bool = False

    @property
    def reason(self) -> FinishReason:
        if self.finish is not None:
            return self.finish
        return FinishReason.TOOL_CALLS if self.calls else FinishReason.STOP


def calls(id: str, text: str, *expected: Call, content: str | None = "", reasoning: str = "") -> Case:
    return Case(id, text, expected, content, reasoning)


def prose(id: str, text: str, prompt_tail: str = "") -> Case:
    """A hard negative: every character of it is the answer."""
    return Case(id, text, content=text, negative=True, prompt_tail=prompt_tail)


def untooled(id: str, text: str, prompt_tail: str = "") -> Case:
    """No tools are offered: nothing is a call and the text passes untouched."""
    return Case(id, text, content=text, tools=(), negative=True, prompt_tail=prompt_tail)


def cut(id: str, text: str, *whole: Call, content: str | None = "", prompt_tail: str = "") -> Case:
    """The token limit came inside a call, which is never completed."""
    return Case(id, text, whole, content, finish=FinishReason.LENGTH, cut_off=True, negative=True,
                prompt_tail=prompt_tail)  # fmt: skip


def one_of(id: str, text: str, expected: Call, content: str | None = "") -> Case:
    """Several calls where the request allows one."""
    return Case(id, text, (expected,), content, parallel=False)


def draft(id: str, text: str, *whole: Call, content: str = "", reasoning: str, prompt_tail: str = "") -> Case:
    """A call in reasoning that is closed later is a draft."""
    return Case(id, text, whole, content, reasoning, negative=True, prompt_tail=prompt_tail)


def js(value: object) -> str:
    """JSON as the formats' templates print it."""
    return json.dumps(value, ensure_ascii=False)


CODE = (
    'def f(d={"a": [1, {}]}):\n\tif d["a"] != \'}\' and d: # {{ }} ]] )\n'
    '\t\treturn "<div class=\\"x\\">" + `y` + "\\\\n"\n'
)
SCRIPT = "cat <<'EOF' > a.html\n<ul>\n  <li>&amp; {{ x }}</li>\n</ul>\nEOF\necho \"done\" && ls | grep '}]'"
UNICODE = "naïve 漢字 かな 😀👩‍👩‍👧 e\u0301 \u202ertl\u202c \u2028 \ufeff ｜▁ ß"

"""A model without weights: draws tokens at random from what a guide allows, and reads what it has said."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jsonschema
import numpy as np

from services.common.chat import (
    ChatEvent,
    ChatRequest,
    ContentDelta,
    FinishReason,
    Message,
    Role,
    Tool,
    ToolCallArguments,
    ToolCallEnded,
    ToolCallStarted,
    ToolChoice,
    ToolChoiceMode,
)
from services.inference_worker.chat.formats import Format
from services.inference_worker.chat.machine import PushMachine
from services.inference_worker.grammar.plan import Grammars, Plan
from services.inference_worker.grammar.tokens import TokenTable

END = "<|im_end|>"
# Tokens that a random text needs more often than by chance, so that it comes to its end.
_FAVOURED = {
    '"': 40.0,
    "\n": 8.0,
    "<": 6.0,
    "}": 20.0,
    "]": 20.0,
    "/": 3.0,
    ">": 3.0,
    ",": 2.0,
    "'": 40.0,
    ")": 20.0,
}
_ODD = ('"}', '"}}\n', ">\n", "=b", "ab", '{"', '":', '": ', "\n</", ">bash", "ls")


def table_for(format: Format) -> TokenTable:
    """256 bytes, some odd pieces, the format's markers, an end token."""
    texts = dict.fromkeys((*_ODD, *format.markers, "<tool_call>", "<think>", "</think>"))
    pieces = [bytes([byte]) for byte in range(256)] + [text.encode() for text in texts] + [END.encode()]
    return TokenTable(len(pieces), pieces.__getitem__, [len(pieces) - 1])


def request(
    tools: Sequence[Tool],
    choice: ToolChoice | None = None,
    parallel: bool = True,
    **more: Any,
) -> ChatRequest:
    return ChatRequest(
        model="",
        messages=(Message(Role.USER, "go"),),
        tools=tuple(tools),
        tool_choice=choice or ToolChoice(),
        parallel_tool_calls=parallel,
        **more,
    )


@dataclass
class Call:
    name: str
    arguments: str = ""
    ended: bool = False


@dataclass
class Said:
    text: str
    content: str = ""
    calls: list[Call] = field(default_factory=list)
    finish: FinishReason = FinishReason.STOP
    ended: bool = False


def generate(
    table: TokenTable,
    plan: Plan,
    seed: int,
    start: str = "",
    limit: int = 1200,
) -> tuple[str, bool]:
    """What is said behind `plan.forced`, beginning with `start`; and whether the model ended it."""
    chance = random.Random(seed)
    guide = plan.guide(0)
    said = b""
    weights = np.array([_weight(table, token, chance) for token in range(table.size)])
    script = list(start.encode())
    for _ in range(limit):
        mask = guide.mask() if guide is not None else None
        allowed = np.ones(table.size, bool)
        if mask is not None:
            allowed = np.unpackbits(mask.view(np.uint8), bitorder="little")[: table.size].astype(bool)
        if script:
            token = script.pop(0)
            assert allowed[token], f"{bytes([token])!r} is not allowed behind {said!r}"
        else:
            likely = np.cumsum(weights * allowed)
            assert likely[-1] > 0, f"nothing is allowed behind {said!r}"
            token = int(np.searchsorted(likely, chance.random() * likely[-1], side="right"))
        if token in table.ends:
            return said.decode("utf-8", "replace"), True
        piece = table.text(token)
        if guide is not None:
            guide.accept(token, piece)
        said += piece
    return said.decode("utf-8", "replace"), False


def _weight(table: TokenTable, token: int, chance: random.Random) -> float:
    if token in table.ends:
        return 0.3
    text = table.text(token).decode("utf-8", "replace")
    if text == "\ufffd":
        return 0.01
    return _FAVOURED.get(text, 1.0) * chance.uniform(0.3, 1.0) + (5.0 if len(text) > 5 else 0.0)


def read(
    format: Format, tools: Sequence[Tool], text: str, ended: bool, tail: str = "", parallel: bool = True
) -> Said:
    machine = PushMachine(format, tools, 0, tail, parallel)
    events: list[ChatEvent] = machine.feed(text)
    more, reason = machine.finish(cut_off=not ended)
    said = Said(text, finish=reason, ended=ended)
    for event in [*events, *more]:
        match event:
            case ContentDelta(_, piece):
                said.content += piece
            case ToolCallStarted(_, _, _, name):
                said.calls.append(Call(name))
            case ToolCallArguments(_, index, fragment):
                said.calls[index].arguments += fragment
            case ToolCallEnded(_, index):
                said.calls[index].ended = True
    return said


def fits(tools: Sequence[Tool], call: Call) -> str:
    """What is wrong with a call; empty if it fits."""
    schemas = {tool.name: json.loads(tool.parameters_json) for tool in tools}
    if call.name not in schemas:
        return f"{call.name} was not offered"
    try:
        value = json.loads(call.arguments)
    except ValueError as error:
        return f"{error}: {call.arguments}"
    problem = jsonschema.exceptions.best_match(
        jsonschema.Draft202012Validator(schemas[call.name]).iter_errors(value)
    )
    return "" if problem is None else f"{problem.message}: {call.arguments}"


def grammars(format: Format) -> Grammars:
    return Grammars(format, table_for(format))


REQUIRED = ToolChoice(ToolChoiceMode.REQUIRED)

TOOLS = (
    Tool(
        "bash",
        "",
        json.dumps(
            {
                "type": "object",
                "properties": {
                    "command": {"type": "string", "minLength": 1, "maxLength": 30},
                    "timeout": {"type": "integer", "minimum": 1, "maximum": 600},
                    "shell": {"enum": ["sh", "zsh"]},
                },
                "required": ["command"],
                "additionalProperties": False,
            }
        ),
    ),
    Tool(
        "edit",
        "",
        json.dumps(
            {
                "type": "object",
                "$defs": {
                    "place": {
                        "type": "object",
                        "properties": {
                            "line": {"type": "integer"},
                            "inner": {"anyOf": [{"$ref": "#/$defs/place"}, {"type": "null"}]},
                        },
                        "required": ["line"],
                        "additionalProperties": False,
                    }
                },
                "properties": {
                    "place": {"$ref": "#/$defs/place"},
                    "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 1, "maxItems": 3},
                    "what": {"anyOf": [{"type": "integer"}, {"type": "string", "maxLength": 9}]},
                    "sure": {"type": ["boolean", "null"]},
                    "options": {
                        "type": "object",
                        "properties": {
                            "mode": {"const": "fast"},
                            "sizes": {"type": "array", "items": {"type": "number"}, "maxItems": 2},
                        },
                        "required": ["mode"],
                        "additionalProperties": False,
                    },
                },
                "required": ["place", "tags", "what"],
                "additionalProperties": False,
            }
        ),
    ),
    Tool("now", "", json.dumps({"type": "object", "properties": {}, "additionalProperties": False})),
)

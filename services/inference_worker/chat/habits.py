"""What a chat template takes and prints, asked once by rendering small conversations."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import product
from typing import Any

from services.common.errors import SwarmError

# Renders messages and tools in OpenAI's shapes, with or without the generation prompt; raises SwarmError.
Render = Callable[[list[dict[str, Any]], list[dict[str, Any]] | None, bool], str]

PROBE = "probe_tool"
PROBE_KEY = "probe_key"
PROBE_VALUE = "probe value"
PROBE_ARGUMENTS = {PROBE_KEY: PROBE_VALUE}
_WORDS = "probe words"
_SCHEMA = {
    "type": "object",
    "properties": {PROBE_KEY: {"type": "string", "description": "probe"}},
    "required": [PROBE_KEY],
}
_TOOLS: list[dict[str, Any]] = [
    {"type": "function", "function": {"name": PROBE, "description": "probe", "parameters": _SCHEMA}}
]
_USER: dict[str, Any] = {"role": "user", "content": "probe"}


class Ids(StrEnum):
    """Which ids of calls the template bears."""

    AS_GIVEN = "as_given"
    NINE = "nine"
    """Nine letters or digits (Mistral)."""
    NAMED = "named"
    """`functions.name:number`: the id is printed in the name's place (Kimi)."""


class ToolsIn(StrEnum):
    """Where the template looks for the offered tools."""

    VARIABLE = "variable"
    SYSTEM_MESSAGE = "system_message"
    """As JSON text in the member `tools` of the system message (Phi-4-mini)."""
    NOWHERE = "nowhere"


@dataclass(frozen=True, slots=True)
class Habits:
    """arguments_as_text: earlier calls' arguments must come as JSON text, not as a mapping.
    empty_content: a turn with calls and no words has the content ""; else it must be None.
    ids: of calls and of their results.
    calls: earlier calls are printed; with_tools: only while tools are offered.
    results: a tool's result is printed.
    parallel: a turn may have several calls.
    system: a system message is taken and printed.
    tools: where offered tools are looked for.
    """

    arguments_as_text: bool = False
    empty_content: bool = True
    ids: Ids = Ids.AS_GIVEN
    calls: bool = False
    with_tools: bool = False
    results: bool = False
    parallel: bool = True
    system: bool = True
    tools: ToolsIn = ToolsIn.NOWHERE


def ask(render: Render) -> Habits:
    """Never raises: a refusal is an answer."""
    habits = _of_calls(render) or Habits()
    return replace(
        habits,
        results=_results(render, habits),
        parallel=_parallel(render, habits),
        system=_system(render),
        tools=_tools(render),
    )


def calling(habits: Habits, calls: int = 1, arguments: dict[str, str] | None = None) -> dict[str, Any]:
    """An assistant's turn that calls the probe, in the shape that the template wants."""
    values = PROBE_ARGUMENTS if arguments is None else arguments
    return {
        "role": "assistant",
        "content": "" if habits.empty_content else None,
        "tool_calls": [
            {
                "id": _id(habits.ids, number),
                "type": "function",
                "function": {
                    "name": PROBE,
                    "arguments": json.dumps(values) if habits.arguments_as_text else values,
                },
            }
            for number in range(calls)
        ],
    }


def printed_calls(render: Render, habits: Habits) -> list[str]:
    """How the template prints a call of the probe: what is new in a conversation that has it, with and
    without what may stand before and behind. Empty if it prints none. The first text is the longest.
    """
    if not habits.calls:
        return []
    tools = _TOOLS if habits.with_tools else None
    whole = render([_USER, calling(habits)], tools, False)
    others = [
        _tried(render, [_USER], tools),
        _tried(render, [_USER], tools, prompt=True),
        _tried(render, [_USER, {"role": "assistant", "content": _WORDS}], tools),
    ]
    starts = sorted({_common(whole, other) for other in others if other is not None})
    spoken = others[2] or ""
    behind = _common(whole[::-1], spoken[::-1])
    ends = (len(whole), len(whole) - behind)
    return list(
        dict.fromkeys(whole[start:end] for start, end in product(starts, ends) if PROBE in whole[start:end])
    )


def _of_calls(render: Render) -> Habits | None:
    """The first way of giving a call in which the template prints its name and its arguments."""
    for with_tools, content, ids, as_text in product((False, True), (True, False), Ids, (False, True)):
        habits = Habits(as_text, content, ids, calls=True, with_tools=with_tools)
        tools = _TOOLS if with_tools else None
        printed = _tried(render, [_USER, calling(habits)], tools)
        if printed is None:
            continue
        before = _tried(render, [_USER, {"role": "assistant", "content": _WORDS}], tools) or ""
        news = [printed.count(text) > before.count(text) for text in (PROBE, PROBE_KEY, PROBE_VALUE)]
        python = printed.count(f"'{PROBE_KEY}'") > before.count(f"'{PROBE_KEY}'")
        if all(news) and not python and f'\\"{PROBE_KEY}\\"' not in printed:
            return habits
    return None


def _results(render: Render, habits: Habits) -> bool:
    turn = calling(habits) if habits.calls else {"role": "assistant", "content": _WORDS}
    result = {"role": "tool", "tool_call_id": _id(habits.ids, 0), "name": PROBE, "content": "probe result"}
    return "probe result" in (_tried(render, [_USER, turn, result], _TOOLS, prompt=True) or "")


def _parallel(render: Render, habits: Habits) -> bool:
    if not habits.calls:
        return True
    tools = _TOOLS if habits.with_tools else None
    one = _tried(render, [_USER, calling(habits)], tools) or ""
    two = _tried(render, [_USER, calling(habits, 2)], tools) or ""
    return two.count(PROBE_VALUE) > one.count(PROBE_VALUE)


def _system(render: Render) -> bool:
    return any(
        "probe system" in (_tried(render, [_SYSTEM, _USER], tools, prompt=True) or "")
        for tools in (None, _TOOLS)
    )


_SYSTEM: dict[str, Any] = {"role": "system", "content": "probe system"}


def _tools(render: Render) -> ToolsIn:
    for messages in ([_USER], [_SYSTEM, _USER]):
        if PROBE in (_tried(render, messages, _TOOLS, prompt=True) or ""):
            return ToolsIn.VARIABLE
    system = {**_SYSTEM, "tools": json.dumps(_TOOLS)}
    if PROBE in (_tried(render, [system, _USER], None, prompt=True) or ""):
        return ToolsIn.SYSTEM_MESSAGE
    return ToolsIn.NOWHERE


def _tried(
    render: Render, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None, prompt: bool = False
) -> str | None:
    try:
        return render(messages, tools, prompt)
    except SwarmError:
        return None  # the refusal is the answer


def _id(ids: Ids, number: int) -> str:
    match ids:
        case Ids.AS_GIVEN:
            return f"c{number}"
        case Ids.NINE:
            return f"call0000{number}"
        case Ids.NAMED:
            return f"functions.{PROBE}:{number}"


def _common(one: str, other: str) -> int:
    """How many characters both begin with."""
    pairs = zip(one, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))

"""How a model is told of its tools whose template takes none: a short text, within a bound.

Pure: the text around the list of tools comes from outside, from a file that the user can edit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from services.common.chat import Tool

TOOLS = "{tools}"
"""Stands in the text for the list of tools."""
CALL = "{call}"
"""Stands in the text for an example of a call."""

# Estimated tokens that the list may have. The estimate is high for words, and close only for random letters.
BUDGET = 1500

_RUN = re.compile(r"(?P<letters>[A-Z]?[a-z]+|[A-Z]+)|(?P<blank> )|(?P<other>.)", re.DOTALL)
_SENTENCE = re.compile(r"(?<=[.!?])\s")


def instructions(text: str, tools: Sequence[Tool], call: str) -> str:
    """`text` with the tools and an example of a call in their places."""
    return text.strip().replace(CALL, call).replace(TOOLS, tool_list(tools))


def tool_list(tools: Sequence[Tool], budget: int = BUDGET) -> str:
    """A line for each tool, in the longest form in which all of them fit.

    Descriptions are shortened first, then dropped, then what may be left out of a call, then all parameters;
    of what is still too long the end is dropped, and the last line says how much.
    """
    for form in _FORMS:
        lines = [form(tool) for tool in tools]
        if estimate("\n".join(lines)) <= budget:
            return "\n".join(lines)
    kept: list[str] = []
    left = budget - estimate(_more(len(tools)))
    for line in lines:
        left -= estimate(line) + 1
        if left < 0:
            break
        kept.append(line)
    return "\n".join([*kept, _more(len(tools) - len(kept))])


def estimate(text: str) -> int:
    """About how many tokens a text has, whatever the vocabulary; for prose about twice too many."""
    total = 0
    for run in _RUN.finditer(text):
        match run.lastgroup:
            case "letters":
                total += (len(run[0]) + 1) // 2
            case "other":
                total += len(run[0].encode("utf-8", "surrogatepass"))
    return total


def _more(count: int) -> str:
    return f"({count} more)"


def _described(limit: int) -> Callable[[Tool], str]:
    def line(tool: Tool) -> str:
        description = _short(tool.description, limit)
        return f"{_signature(tool)}: {description}" if description else _signature(tool)

    return line


def _signature(tool: Tool) -> str:
    """`name(required, optional?, number: integer)`: what has no type is a text."""
    schema, required = _parameters(tool)
    parts = [_parameter(key, each, key in required) for key, each in schema.items()]
    return f"{tool.name}({', '.join(parts)})"


def _demanded(tool: Tool) -> str:
    schema, required = _parameters(tool)
    parts = [_parameter(key, each, True) for key, each in schema.items() if key in required]
    return f"{tool.name}({', '.join(parts)})"


_FORMS: tuple[Callable[[Tool], str], ...] = (
    _described(50),
    _described(25),
    _signature,
    _demanded,
    lambda tool: tool.name,
)


def _short(description: str, limit: int) -> str:
    """The first sentence on one line, cut at a word."""
    text = _SENTENCE.split(" ".join(description.split()), maxsplit=1)[0].rstrip(".")
    if len(text) <= limit:
        return text
    head, blank, _ = text[:limit].rpartition(" ")
    return (head if blank else text[:limit]) + "…"


def _parameter(key: str, schema: object, required: bool) -> str:
    kind = _kind(schema)
    return key + ("" if required else "?") + (f": {kind}" if kind else "")


def _kind(schema: object, depth: int = 2) -> str:
    """A type in a few characters; empty for a text."""
    if not isinstance(schema, dict):
        return ""
    values = schema.get("enum")
    if isinstance(values, list) and len(values) <= 8:
        return "|".join(json.dumps(value, ensure_ascii=False) for value in values)
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), None)
    if kind == "array":
        inner = _kind(schema.get("items"), depth - 1) if depth else ""
        return f"[{inner}]" if inner else "array"
    if kind == "object":
        members = schema.get("properties")
        if depth and isinstance(members, dict) and members:
            required = _names(schema.get("required"))
            parts = (
                str(key)
                + ("" if key in required else "?")
                + (f": {each}" if (each := _kind(value, depth - 1)) else "")
                for key, value in members.items()
            )
            return "{" + ", ".join(parts) + "}"
        return "object"
    return kind if isinstance(kind, str) and kind != "string" else ""


def _parameters(tool: Tool) -> tuple[dict[str, object], frozenset[str]]:
    """A tool's parameters by name, and which it must be given; none where the schema tells none."""
    try:
        schema: Any = json.loads(tool.parameters_json or "{}")
    except (ValueError, RecursionError):
        schema = {}
    if not isinstance(schema, dict):
        schema = {}
    properties = schema.get("properties")
    return properties if isinstance(properties, dict) else {}, _names(schema.get("required"))


def _names(value: object) -> frozenset[str]:
    return (
        frozenset(each for each in value if isinstance(each, str)) if isinstance(value, list) else frozenset()
    )

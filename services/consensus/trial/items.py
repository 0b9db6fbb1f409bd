"""Questions whose answers can be checked. Pure, but for reading a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from services.common.chat import Message, Role, Tool, ToolCall

_ROLES = {role.value: role for role in Role}


@dataclass(frozen=True, slots=True)
class OneCall:
    """The answer is exactly this call; arguments named in `ignored` may be anything."""

    name: str
    arguments: Mapping[str, Any]
    ignored: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Quotes:
    """The answer calls nothing and contains all of these."""

    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Number:
    """The last number in the answer is this one."""

    value: int


@dataclass(frozen=True, slots=True)
class Function:
    """The answer has a Python function of this name that gives these results. `cases`: arguments, result."""

    name: str
    cases: tuple[tuple[tuple[Any, ...], Any], ...]


Expected = OneCall | Quotes | Number | Function


@dataclass(frozen=True, slots=True)
class Item:
    """`kind` groups items in the report."""

    id: str
    kind: str
    messages: tuple[Message, ...]
    expected: Expected
    tools: tuple[Tool, ...] = field(default=())


class BadItemError(ValueError):
    """The text says which file and line, and what was expected."""


def read_items(path: Path) -> list[Item]:
    """One JSON object a line: `id`, OpenAI's `messages` and `tools`, `expect`, `ignore`.

    `expect` is {"name", "arguments"} or {"quotes"}. Raises OSError, BadItemError.
    """
    items = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            items.append(_item(path.stem, json.loads(line)))
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise BadItemError(f"{path}:{number}: not an item, {type(error).__name__}: {error}") from error
    return items


def arithmetic(count: int, seed: int) -> list[Item]:
    """Sums and products that a small model may get right, always the same ones for a seed."""
    random = Random(f"arithmetic {seed}")  # noqa: S311 - drawn, not secret
    return [_sum(random, number) for number in range(1, count + 1)]


def functions(count: int, seed: int) -> list[Item]:
    """Small functions to write; what they must give is computed here by ones of our own."""
    random = Random(f"functions {seed}")  # noqa: S311 - drawn, not secret
    return [_function(random, number) for number in range(1, count + 1)]


def _item(kind: str, entry: Mapping[str, Any]) -> Item:
    expect = entry["expect"]
    expected: Expected
    if "quotes" in expect:
        expected = Quotes(tuple(map(str, expect["quotes"])))
    else:
        expected = OneCall(str(expect["name"]), dict(expect["arguments"]), frozenset(entry.get("ignore", ())))
    messages = tuple(_message(each) for each in entry["messages"])
    if not messages:
        raise ValueError("messages: at least one is wanted")
    return Item(str(entry["id"]), kind, messages, expected, tuple(map(_tool, entry.get("tools", ()))))


def _message(entry: Mapping[str, Any]) -> Message:
    calls = tuple(
        ToolCall(call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in entry.get("tool_calls") or ()
    )
    return Message(
        _ROLES[entry["role"]],
        entry.get("content") or "",
        tool_calls=calls,
        tool_call_id=entry.get("tool_call_id", ""),
        name=entry.get("name", ""),
    )


def _tool(entry: Mapping[str, Any]) -> Tool:
    function = entry["function"]
    return Tool(
        function["name"], function.get("description", ""), json.dumps(function.get("parameters") or {})
    )


def _sum(random: Random, number: int) -> Item:
    first, second, third = random.randint(2, 99), random.randint(2, 99), random.randint(2, 9)
    text, value = random.choice(
        [
            (f"{first} + {second}", first + second),
            (f"{first} - {second}", first - second),
            (f"{first} * {third}", first * third),
            (f"{first} + {second} * {third}", first + second * third),
        ]
    )
    question = f"What is {text}? Answer with the number alone."
    return Item(f"arithmetic-{number:03d}", "arithmetic", (Message(Role.USER, question),), Number(value))


def _function(random: Random, number: int) -> Item:
    least, factor = random.randint(2, 9), random.randint(2, 9)
    letter = random.choice("aeiorst")
    words = ["tree", "street", "astro", "a", "", "retries"]
    lists = [[random.randint(-9, 20) for _ in range(size)] for size in (0, 1, 4, 7)]
    kinds: list[tuple[str, str, list[tuple[tuple[Any, ...], Any]]]] = [
        (
            "scaled",
            f"returns the list of all numbers of the list `x` times {factor}",
            [((x,), [each * factor for each in x]) for x in lists],
        ),
        (
            "large_sum",
            f"returns the sum of the numbers in the list `x` that are greater than {least}",
            [((x,), sum(each for each in x if each > least)) for x in lists],
        ),
        (
            "letters",
            f"returns how often the letter {letter!r} is in the string `x`",
            [((x,), x.count(letter)) for x in words],
        ),
        ("backwards", "returns the string `x` reversed", [((x,), x[::-1]) for x in words]),
    ]
    name, task, cases = random.choice(kinds)
    question = f"Write a Python function `{name}(x)` that {task}. Answer with the code alone."
    return Item(
        f"functions-{number:03d}",
        "functions",
        (Message(Role.USER, question),),
        Function(name, tuple(cases)),
    )

"""The jinja2 environment of chat templates: what transformers offers them, within bounds.

A template comes with a model file that anybody may have written. The sandbox keeps it from Python's
internals; the bounds keep it from holding a worker for ever or filling its memory.
"""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from jinja2 import nodes
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_SECONDS = 10.0
MAX_CHARACTERS = 64 * 1024 * 1024

_deadline: ContextVar[float] = ContextVar("template_deadline")


class GenerationTag(Extension):
    """`{% generation %}` marks the assistant's words for training; for a prompt it is its body."""

    tags = {"generation"}  # noqa: RUF012 - jinja2 declares it so

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class ChatEnvironment(ImmutableSandboxedEnvironment):
    """Checks the clock and the size of products wherever a template can spend without printing."""

    intercepted_binops = frozenset({"*", "**", "+", "%"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[loopcontrols, GenerationTag],
        )
        self.filters["tojson"] = to_json
        self.globals["raise_exception"] = _raise_exception
        self.globals["strftime_now"] = _strftime_now

    def getattr(self, obj: Any, attribute: str) -> Any:
        _check_clock()
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        _check_clock()
        return super().getitem(obj, argument)

    def call(self, context: Any, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        _check_clock()
        return super().call(context, obj, *args, **kwargs)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        _check_clock()
        if _size_of(operator, left, right) > MAX_CHARACTERS:
            raise SecurityError(f"the template builds a value of more than {MAX_CHARACTERS} items")
        return super().call_binop(context, operator, left, right)


def render(environment: ChatEnvironment, source: Any, variables: Mapping[str, Any]) -> str:
    """Renders a compiled template. Raises jinja2's TemplateError, SecurityError past the bounds, or
    whatever the template's own expressions raise (TypeError and the like)."""
    token = _deadline.set(time.monotonic() + MAX_SECONDS)
    pieces: list[str] = []
    size = 0
    try:
        for piece in source.generate(variables):
            _check_clock()
            size += len(piece)
            if size > MAX_CHARACTERS:
                raise SecurityError(f"the template prints more than {MAX_CHARACTERS} characters")
            pieces.append(piece)
    finally:
        _deadline.reset(token)
    return "".join(pieces)


def to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """As transformers does it: jinja2's own filter escapes for HTML, which no model has learnt."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _check_clock() -> None:
    if time.monotonic() > _deadline.get(float("inf")):
        raise SecurityError(f"the template takes longer than {MAX_SECONDS:g} s to render")


def _size_of(operator: str, left: Any, right: Any) -> int:
    """How many items or bits the result may have, roughly; 0 where the operation is harmless."""
    if operator == "*":
        for sequence, count in ((left, right), (right, left)):
            if isinstance(sequence, str | list | tuple) and isinstance(count, int):
                return len(sequence) * max(count, 0)
        if isinstance(left, int) and isinstance(right, int):
            return left.bit_length() + right.bit_length()
    if operator == "**" and isinstance(left, int) and isinstance(right, int):
        return left.bit_length() * max(right, 0)
    if operator == "+" and isinstance(left, str | list | tuple) and isinstance(right, str | list | tuple):
        return len(left) + len(right)
    if operator == "%" and isinstance(left, str) and any(len(run) > 4 for run in _digits(left)):
        return MAX_CHARACTERS + 1
    return 0


def _digits(text: str) -> list[str]:
    return "".join(c if c.isdigit() else " " for c in text).split()


def _raise_exception(message: str) -> None:
    raise TemplateError(message)


def _strftime_now(form: str) -> str:
    return datetime.datetime.now().astimezone().strftime(form)

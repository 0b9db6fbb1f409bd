"""Two candidates propose the same when the canonical forms of their calls are equal. Pure.

Canonical: arguments valid by the tool's JSON Schema, keys sorted, 1.0 written as 1, without what does not
act (call ids, and `description` where the tool has other parameters). The order of calls counts.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.common.chat import Tool, ToolCall
from services.common.errors import invalid
from services.common.json_schema import SchemaCheck, schema_check
from services.common.text import shorten

NOT_ACTING = "description"
# Floats beyond have no exact integer.
_EXACT = 2.0**53
_SUMMARY_LENGTH = 400
_PROBLEM_LENGTH = 300


class InvalidCallError(ValueError):
    """The text says for people what is wrong with the call."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """`key` is the SHA-256 of the canonical calls in hex; `summary` is their JSON for people, cut if long."""

    key: str
    summary: str


class Toolbox:
    """The tools that a request offers."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        """Raises SwarmError INVALID_FIELD naming the tool whose schema is none."""
        self._checks: dict[str, SchemaCheck] = {}
        for number, tool in enumerate(tools):
            param = f"tools[{number}].function"
            try:
                self._checks[tool.name] = schema_check(tool.parameters_json)
            except ValueError as error:
                raise invalid(f"{param}.parameters", f"tool {tool.name!r}: {error}") from error

    def canonical(self, calls: Sequence[ToolCall]) -> Proposal:
        """Raises InvalidCallError when a call is of no offered tool, or its arguments do not fit."""
        forms = [{"name": call.name, "arguments": self._arguments(call)} for call in calls]
        return Proposal(_key(forms), _summary(forms))

    def offers(self, name: str) -> bool:
        return name in self._checks

    def problem(self, call: ToolCall) -> str | None:
        """What is wrong with the call, for people and for the model that made it; None: nothing."""
        try:
            self._arguments(call)
        except InvalidCallError as error:
            return shorten(str(error), _PROBLEM_LENGTH)
        return None

    def _arguments(self, call: ToolCall) -> dict[str, Any]:
        check = self._checks.get(call.name)
        if check is None:
            raise InvalidCallError(f"{shorten(call.name, 60)}: no such tool was offered")
        try:
            arguments = _parse(call.arguments_json)
        except (ValueError, RecursionError) as error:
            raise InvalidCallError(f"{call.name}: arguments are no JSON object ({error})") from error
        if (problem := check.problem(arguments)) is not None:
            raise InvalidCallError(f"{call.name}: {problem}")
        if check.properties - {NOT_ACTING}:
            arguments.pop(NOT_ACTING, None)
        return arguments


def key_as_written(calls: Sequence[ToolCall]) -> str:
    """The key of calls that no schema accepts: equal where names and arguments are."""
    return _key([{"name": call.name, "arguments": _as_written(call.arguments_json)} for call in calls])


def _as_written(arguments_json: str) -> dict[str, Any] | str:
    try:
        return _parse(arguments_json)
    except (ValueError, RecursionError):
        return arguments_json


def _key(forms: Sequence[Mapping[str, Any]]) -> str:
    # ASCII only: lone surrogates are legal in JSON and cannot be encoded otherwise.
    text = json.dumps(forms, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _parse(text: str) -> dict[str, Any]:
    parsed = json.loads(text, object_pairs_hook=_unique, parse_float=_number, parse_constant=_constant)
    if not isinstance(parsed, dict):
        raise ValueError(f"a {type(parsed).__name__} instead of an object")
    return parsed


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Parsers differ in which of two equal keys they keep, so the vote would not be on what is run.
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _number(text: str) -> float | int:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{shorten(text, 40)} is out of range")
    return int(value) if value.is_integer() and abs(value) < _EXACT else value


def _constant(text: str) -> float:
    raise ValueError(f"{text} is no JSON")


def _summary(forms: Sequence[Mapping[str, Any]]) -> str:
    return shorten(
        "; ".join(
            f"{form['name']} {json.dumps(form['arguments'], sort_keys=True, ensure_ascii=False)}"
            for form in forms
        ),
        _SUMMARY_LENGTH,
    )

"""Two candidates propose the same when the canonical forms of their calls are equal. Pure.

Canonical: arguments valid by the tool's JSON Schema, keys sorted, 1.0 written as 1, without what does not
act (call ids, and `description` where the tool has other parameters). The order of calls counts.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jsonschema
import referencing
from jsonschema.protocols import Validator
from jsonschema.validators import extend, validator_for

from services.common.chat import Tool, ToolCall
from services.common.errors import invalid

NOT_ACTING = "description"
# Floats beyond have no exact integer.
_EXACT = 2.0**53
_SUMMARY_LENGTH = 400
# Patterns are ECMAScript's: that Python cannot read one does not make the schema wrong.
_NO_FORMATS = jsonschema.FormatChecker(formats=())


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
        self._checks: dict[str, _Check] = {}
        for number, tool in enumerate(tools):
            param = f"tools[{number}].function"
            try:
                self._checks[tool.name] = _check_for(tool.parameters_json)
            except ValueError as error:
                raise invalid(f"{param}.parameters", f"tool {tool.name!r}: {error}") from error

    def canonical(self, calls: Sequence[ToolCall]) -> Proposal:
        """Raises InvalidCallError when a call is of no offered tool, or its arguments do not fit."""
        forms = [{"name": call.name, "arguments": self._arguments(call)} for call in calls]
        # ASCII only: lone surrogates are legal in JSON and cannot be encoded otherwise.
        text = json.dumps(forms, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return Proposal(hashlib.sha256(text.encode("ascii")).hexdigest(), _summary(forms))

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
        return {key: value for key, value in arguments.items() if key not in check.not_acting}


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters on one line, encodable as UTF-8; an ellipsis marks the cut."""
    line = " ".join(text.encode("utf-8", "backslashreplace").decode("utf-8").split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


@dataclass(frozen=True, slots=True)
class _Check:
    validator: Validator
    not_acting: frozenset[str]

    def problem(self, arguments: dict[str, Any]) -> str | None:
        try:
            error = next(iter(self.validator.iter_errors(arguments)), None)
        except Exception as broken:  # the schema is the client's: whatever it raises is its failure
            return shorten(f"its schema cannot be applied ({type(broken).__name__}: {broken})", 200)
        if error is None:
            return None
        place = "".join(f".{each}" if isinstance(each, str) else f"[{each}]" for each in error.absolute_path)
        return shorten(f"{place.lstrip('.') or 'arguments'}: {error.message}", 200)


@lru_cache(maxsize=1024)
def _check_for(parameters_json: str) -> _Check:
    """Raises ValueError saying why the text is no JSON Schema that can be applied here."""
    try:
        schema = json.loads(parameters_json) if parameters_json else {"type": "object"}
    except (ValueError, RecursionError) as error:
        raise ValueError(f"parameters are no JSON ({error})") from error
    if not isinstance(schema, dict):
        raise ValueError("parameters: expected a JSON Schema object")
    if not isinstance(schema.get("$schema", ""), str):
        raise ValueError("$schema: expected the address of a JSON Schema draft")
    draft: Any = validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        draft.check_schema(schema, format_checker=_NO_FORMATS)
        remote = next((each for each in _references(schema) if not each.startswith("#")), None)
    except jsonschema.SchemaError as error:
        raise ValueError(f"not a JSON Schema: {shorten(error.message, 200)}") from error
    except RecursionError as error:
        raise ValueError("parameters are nested too deeply") from error
    if remote is not None:
        raise ValueError(f"the reference {shorten(remote, 100)!r} leads outside the schema")
    # An empty registry: nothing is ever fetched to resolve a reference.
    lenient: Any = extend(draft, {"pattern": _pattern})  # type: ignore[no-untyped-call]
    validator = lenient(schema, registry=referencing.Registry())
    properties = schema.get("properties")
    names = set(properties) if isinstance(properties, Mapping) else set()
    return _Check(validator, frozenset({NOT_ACTING} if names - {NOT_ACTING} else ()))


def _pattern(_validator: Validator, pattern: str, value: Any, _schema: Any) -> Iterator[Any]:
    """A pattern that Python cannot read is left to the client to check."""
    if not isinstance(value, str):
        return
    try:
        matches = re.search(pattern, value) is not None
    except re.error:
        return
    if not matches:
        yield jsonschema.ValidationError(f"{value!r} does not match {pattern!r}")


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        for key, value in schema.items():
            if key in ("$ref", "$dynamicRef") and isinstance(value, str):
                yield value
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


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

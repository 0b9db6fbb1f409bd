"""A call's arguments against the tool's schema; what is wrong is told with the name of the field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from textwrap import shorten
from typing import Any, NoReturn

from jsonschema import Draft202012Validator, ValidationError

from services.common.errors import SwarmError, invalid


def parse_arguments(tool: str, text: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The object that `text` (JSON; empty: no arguments) holds.

    Raises SwarmError INVALID_FIELD; `param` is the field, or `arguments` when it is no object at all.
    """
    try:
        arguments = json.loads(text or "{}", parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise invalid("arguments", f"the arguments of {tool} are no JSON: {error}") from error
    if not isinstance(arguments, dict):
        raise invalid("arguments", f"the arguments of {tool} are no JSON object")
    errors = sorted(Draft202012Validator(schema).iter_errors(arguments), key=_rank)
    if errors:
        raise _named(tool, errors[0], schema, arguments)
    return arguments


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _rank(error: ValidationError) -> tuple[int, str]:
    """What is missing first: a misspelt name gives two errors, and this one says what to do."""
    return (0 if error.validator == "required" else 1, str(list(error.absolute_path)))


def _named(
    tool: str, error: ValidationError, schema: Mapping[str, Any], arguments: Mapping[str, Any]
) -> SwarmError:
    known = ", ".join(schema["properties"])
    if error.validator == "required":
        missing = next(name for name in schema["required"] if name not in arguments)
        given = ", ".join(arguments) or "none"
        return invalid(missing, f"{tool} needs the argument {missing}; given: {given}; known: {known}")
    if error.validator == "additionalProperties":
        surplus = next(name for name in arguments if name not in schema["properties"])
        return invalid(surplus, f"{tool} has no argument {surplus}; known: {known}")
    field = ".".join(str(part) for part in error.absolute_path)
    return invalid(field, f"{tool}: {field}: {shorten(error.message, 300)}")

"""Whether arguments fit a tool's JSON Schema. Pure: nothing is ever fetched to resolve a reference."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jsonschema
import referencing
from jsonschema.protocols import Validator
from jsonschema.validators import extend, validator_for

from services.common.text import shorten

# Patterns are ECMAScript's: that Python cannot read one does not make the schema wrong.
_NO_FORMATS = jsonschema.FormatChecker(formats=())


@dataclass(frozen=True, slots=True)
class SchemaCheck:
    """A schema that can be applied. `properties` are the names that it declares at its root."""

    validator: Validator
    properties: frozenset[str]

    def problem(self, arguments: Any) -> str | None:
        """What does not fit, in one line that names the place; None: they fit."""
        try:
            error = next(iter(self.validator.iter_errors(arguments)), None)
        except Exception as broken:  # the schema is the client's: whatever it raises is its failure
            return shorten(f"its schema cannot be applied ({type(broken).__name__}: {broken})", 200)
        if error is None:
            return None
        place = "".join(f".{each}" if isinstance(each, str) else f"[{each}]" for each in error.absolute_path)
        return shorten(f"{place.lstrip('.') or 'arguments'}: {error.message}", 200)


@lru_cache(maxsize=1024)
def schema_check(schema_json: str) -> SchemaCheck:
    """Of a schema as JSON text; empty: an object without declared parameters.

    Raises ValueError saying why the text is no JSON Schema that can be applied here.
    """
    try:
        schema = json.loads(schema_json) if schema_json else {"type": "object"}
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
    properties = schema.get("properties")
    names = frozenset(properties) if isinstance(properties, Mapping) else frozenset[str]()
    return SchemaCheck(lenient(schema, registry=referencing.Registry()), names)


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

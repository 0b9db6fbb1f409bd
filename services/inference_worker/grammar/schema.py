"""A tool's JSON schema, taken apart into parameters that stand on their own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.inference_worker.chat.values import ANY, declared_types

Schema = Mapping[str, Any]

# What a schema may say beside its properties and still be no more than a list of parameters.
_HARMLESS = frozenset(
    (
        *(
            "$schema",
            "$id",
            "$defs",
            "definitions",
            "$comment",
            "title",
            "description",
            "default",
            "examples",
        ),
        *("deprecated", "readOnly", "writeOnly", "nullable", "strict"),
        *("type", "properties", "required", "additionalProperties", "unevaluatedProperties"),
    )
)
_FORMATS = frozenset(
    (
        *("date-time", "time", "date", "duration"),
        *("email", "hostname", "ipv4", "ipv6", "uuid", "uri"),
    )
)
_DEEPEST = 64


class SchemaError(ValueError):
    """A schema that is none, or that cannot be held."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """properties: schemas that need no root any more, in the order of the schema.
    complete: they say all that the schema says; otherwise something of it is left open.
    free: the schema names no parameters and allows any.
    """

    properties: Mapping[str, Schema]
    required: frozenset[str]
    complete: bool = True
    free: bool = False


def parse(text: str) -> Schema:
    """A tool's schema. Raises SchemaError when it is no JSON object."""
    if not text.strip():
        return {"type": "object", "properties": {}, "additionalProperties": False}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"it is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise SchemaError("it is no JSON object")
    return {key: _without_odd_formats(value) for key, value in found.items()}


def _without_odd_formats(value: Any) -> Any:
    """Formats say what a text means; those that llguidance does not know hold nothing."""
    if isinstance(value, list):
        return [_without_odd_formats(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _without_odd_formats(each)
        for key, each in value.items()
        if key != "format" or not isinstance(each, str) or each in _FORMATS
    }


def parameters(root: Schema) -> Parameters:
    """Raises SchemaError when `root` is no schema of an object."""
    top = _resolved(root, root)
    complete = top.keys() <= _HARMLESS
    found = _mapping(top, "properties")
    own = {name: rooted(_schema(each, f"properties.{name}"), root) for name, each in found.items()}
    forbidden = {name for name, each in found.items() if each is False}
    required = [name for name in _names(top, "required") if name not in forbidden]
    for name in required:
        if name not in own:
            extra = top.get("additionalProperties", True)
            if extra is False:
                raise SchemaError(f"{name} is required and not allowed")
            own[name] = rooted(_schema(extra, "additionalProperties"), root)
    if "object" not in declared_types(top, root):
        raise SchemaError("arguments are an object, and it allows none")
    own = {name: each for name, each in own.items() if name not in forbidden}
    free = not own and top.get("additionalProperties", True) is not False
    return Parameters(own, frozenset(required), complete, free)


def rooted(schema: Schema, root: Schema) -> Schema:
    """`schema` with all that its references mean in it."""
    if not _refers(schema):
        return schema
    return {**_moved(schema), "$defs": {"root": _moved(root)}}


def loosened(schema: Schema) -> Schema:
    """What is held of a schema that cannot be held to the letter: the types that it allows."""
    types = declared_types(schema, schema)
    return {} if types == ANY else {"type": sorted(types)}


def target(reference: str, root: Schema) -> Schema:
    """What `#/…` means in `root`. Raises SchemaError."""
    found: Any = root
    if reference.partition("/")[0] != "#":
        raise SchemaError(f"the reference {reference!r} leads out of the schema")
    for part in reference.split("/")[1:]:
        step = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and step.isdecimal() and int(step) < len(found):
            found = found[int(step)]
        elif isinstance(found, dict) and step in found:
            found = found[step]
        else:
            raise SchemaError(f"the reference {reference!r} leads nowhere")
    return _schema(found, reference)


def _resolved(schema: Schema, root: Schema) -> Schema:
    for _ in range(_DEEPEST):
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return schema
        rest = {key: value for key, value in schema.items() if key not in ("$ref", "$defs", "definitions")}
        schema = {**target(reference, root), **rest}
    raise SchemaError("its references go round in circles")


def _refers(value: object) -> bool:
    if isinstance(value, dict):
        return "$ref" in value or any(_refers(each) for each in value.values())
    return isinstance(value, list) and any(_refers(each) for each in value)


def _moved(value: Any) -> Any:
    """References into the root become references to where it stands now."""
    if isinstance(value, list):
        return [_moved(each) for each in value]
    if not isinstance(value, dict):
        return value
    moved = {key: _moved(each) for key, each in value.items() if key not in ("$id", "$schema")}
    reference = value.get("$ref")
    if isinstance(reference, str):
        if not reference.startswith("#"):
            raise SchemaError(f"the reference {reference!r} leads out of the schema")
        moved["$ref"] = "#/$defs/root" + reference[1:]
    return moved


def _schema(value: object, where: str) -> Schema:
    if isinstance(value, dict):
        return value
    if isinstance(value, bool):
        return {}
    raise SchemaError(f"{where} is no schema")


def _mapping(schema: Schema, key: str) -> Mapping[str, Any]:
    value = schema.get(key, {})
    if not isinstance(value, dict):
        raise SchemaError(f"{key} is no object")
    return value


def _names(schema: Schema, key: str) -> list[str]:
    value = schema.get(key, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise SchemaError(f"{key} is no list of names")
    return list(dict.fromkeys(value))

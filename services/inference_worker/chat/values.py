"""Raw text of a parameter to JSON, by the type that the tool's schema declares."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from services.inference_worker.chat.json_scan import is_json

STRING = frozenset({"string"})
ANY = frozenset({"string", "integer", "number", "boolean", "object", "array", "null"})

_INTEGER = re.compile(r"(-?(?:0|[1-9][0-9]*))(?:\.0+)?")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_DEEPEST = 16


def declared_types(schema: object, root: Mapping[str, object], depth: int = 0) -> frozenset[str]:
    """The JSON types that a value under `schema` may have; ANY where it says nothing.

    `$ref` is followed inside `root` (`#/$defs/…`); `anyOf` and `oneOf` add up, `allOf` cuts down.
    """
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return ANY
    types = _own_types(schema, root, depth)
    return types | {"null"} if schema.get("nullable") is True else types


def _own_types(schema: Mapping[str, object], root: Mapping[str, object], depth: int) -> frozenset[str]:
    named = schema.get("type")
    if isinstance(named, str):
        return frozenset({named}) & ANY or ANY
    if isinstance(named, list):
        return frozenset(kind for kind in named if isinstance(kind, str)) & ANY or ANY
    if "const" in schema:
        return frozenset({_type_of(schema["const"])})
    if isinstance(values := schema.get("enum"), list) and values:
        return frozenset(_type_of(value) for value in values)
    if isinstance(reference := schema.get("$ref"), str):
        return declared_types(_resolve(reference, root), root, depth + 1)
    for key in ("anyOf", "oneOf"):
        if isinstance(choices := schema.get(key), list) and choices:
            return frozenset().union(*(declared_types(choice, root, depth + 1) for choice in choices))
    if isinstance(parts := schema.get("allOf"), list):
        types = ANY
        for part in parts:
            types &= declared_types(part, root, depth + 1)
        return types or ANY
    if "properties" in schema:
        return frozenset({"object"})
    return frozenset({"array"}) if "items" in schema else ANY


def _type_of(value: object) -> str:
    if value is None:
        return "null"
    names = {"bool": "boolean", "int": "integer", "float": "number", "str": "string", "list": "array"}
    return names.get(type(value).__name__, "object")


def _resolve(reference: str, root: Mapping[str, object]) -> object:
    if not reference.startswith("#"):
        return None
    found: object = root
    for part in reference[1:].split("/")[1:]:
        if not isinstance(found, Mapping):
            return None
        found = found.get(part.replace("~1", "/").replace("~0", "~"))
    return found


def to_json(raw: str, types: frozenset[str]) -> str:
    """The JSON text of `raw` in the first of `types` that it fits; else, verbatim, a JSON string."""
    text = raw.strip()
    if "null" in types and text in ("null", "None"):
        return "null"
    if "boolean" in types and text.lower() in ("true", "false"):
        return text.lower()
    if "integer" in types and (whole := _INTEGER.fullmatch(text)):
        return whole[1]
    if "number" in types and _NUMBER.fullmatch(text):
        return text
    kind = {"{": "object", "[": "array"}.get(text[:1])
    if kind in types and is_json(text):
        return text
    return f'"{escape(raw)}"'


def types_of(text: str) -> frozenset[str]:
    """The JSON types that a schema may give to this JSON text; none for what is no JSON."""
    if not is_json(text):
        return frozenset()
    first = text.strip()[0]
    kinds = {"{": "object", "[": "array", '"': "string", "t": "boolean", "f": "boolean", "n": "null"}
    if first in kinds:
        return frozenset({kinds[first]})
    return frozenset({"integer", "number"} if _INTEGER.fullmatch(text.strip()) else {"number"})


def escape(text: str) -> str:
    """`text` as the inside of a JSON string; the escape of a text is that of its pieces, joined."""
    return json.dumps(text, ensure_ascii=False)[1:-1]

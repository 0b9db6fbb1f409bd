"""Bare words as values: numbers, booleans and nothing, in JSON's spelling or Python's."""

from __future__ import annotations

import json
import re

from services.inference_worker.chat.values import ANY, STRING, to_json

LONGEST = 512  # characters of a bare word that is no text

_WORDS = {"true": "true", "True": "true", "false": "false", "False": "false", "null": "null", "None": "null"}
_NUMBER = re.compile(r"([+-]?)([0-9][0-9_]*)?(?:(\.)([0-9]*))?([eE][+-]?[0-9]+)?")
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_HEXADECIMAL = re.compile(r"([+-]?)0[xX]([0-9a-fA-F]+)")
_LEADING_ZERO = re.compile(r"[+-]?0[0-9]")
_TYPES = {"t": "boolean", "f": "boolean", "n": "null"}


def literal(raw: str, types: frozenset[str] | None) -> str | None:
    """The JSON text of one of Python's or JSON's literals, as the schema's `types` have it; None: it is not.

    `types` None: nothing is declared. Where text is declared and the literal's own type is not, the literal
    is that text, verbatim; nothing (`None`) is never text. Digits behind a zero are text unless the schema
    wants a number.
    """
    if raw == "None":
        return "null"
    value = _WORDS.get(raw) or _number(raw)
    if value is None:
        return None
    allowed = ANY - STRING if types is None else types
    as_text = json.dumps(raw)
    if _LEADING_ZERO.match(raw):
        return as_text if types is None or "string" in types else value
    return as_text if "string" in allowed and _type(value, allowed) not in allowed else value


def word(raw: str, types: frozenset[str] | None) -> str:
    """The JSON text of a bare word: what `types` make of it, else text, verbatim."""
    if types is None:
        known = _WORDS.get(raw) or (raw if _JSON_NUMBER.fullmatch(raw) else None)
        return known or json.dumps(raw, ensure_ascii=False)
    return (None if types == STRING else literal(raw, types)) or to_json(raw, types)


def _type(value: str, allowed: frozenset[str]) -> str:
    """The type of a literal's JSON text; a whole number is a number where only that is allowed."""
    if value[0] in _TYPES:
        return _TYPES[value[0]]
    whole = value.lstrip("-").isdigit()
    return "integer" if whole and "integer" in allowed else "number"


def _number(raw: str) -> str | None:
    """The JSON text of one of Python's numbers."""
    if len(raw) > LONGEST:
        return None
    if match := _HEXADECIMAL.fullmatch(raw):
        return match[1].replace("+", "") + str(int(match[2], 16))
    match = _NUMBER.fullmatch(raw)
    if match is None or not (match[2] or match[4]):
        return None
    whole = (match[2] or "0").replace("_", "")
    whole = whole.lstrip("0") or "0"
    fraction = f".{match[4] or '0'}" if match[3] else ""
    return match[1].replace("+", "") + whole + fraction + (match[5] or "")

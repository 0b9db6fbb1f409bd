"""Arguments of calls as they are read: strictly, and equal numbers alike. Pure."""

from __future__ import annotations

import json
import math
from typing import Any

from services.common.text import shorten

# Floats beyond have no exact integer.
_EXACT = 2.0**53


def parse_object(text: str) -> dict[str, Any]:
    """The JSON object in `text`, 1.0 as 1. Raises ValueError, or RecursionError where it is too deep."""
    parsed = json.loads(text, object_pairs_hook=_unique, parse_float=_number, parse_constant=_constant)
    if not isinstance(parsed, dict):
        raise ValueError(f"a {type(parsed).__name__} instead of an object")
    return parsed


def object_of(text: str) -> dict[str, Any] | None:
    """The JSON object in `text`, if there is one."""
    try:
        return parse_object(text)
    except (ValueError, RecursionError):
        return None


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

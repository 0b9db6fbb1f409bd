"""What the request models share: strictness, and unions that tell their members apart by JSON type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, Discriminator

# Tags stand in pydantic's error locations; the mark tells them from field names.
MARK = "~"
TEXT, LIST, OBJECT = "~text", "~list", "~object"


class Strict(BaseModel):
    """No unknown fields, no conversions: "3" is no number and 1 is no boolean."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def by_shape(**expected: str) -> Discriminator:
    """Picks a union's member by JSON type; `expected` is the message when none fits."""

    def shape(value: Any) -> str | None:
        if isinstance(value, str):
            return TEXT
        if isinstance(value, list):
            return LIST
        if isinstance(value, dict | BaseModel):
            return OBJECT
        return None

    return _discriminator(shape, "wrong_type", expected["expected"])


def by_field(name: str, known: frozenset[str], expected: str) -> Discriminator:
    """Picks a union's member by the text in its field `name`."""

    def tag(value: Any) -> str | None:
        chosen = value.get(name) if isinstance(value, dict) else getattr(value, name, None)
        return f"{MARK}{chosen}" if isinstance(chosen, str) and chosen in known else None

    return _discriminator(tag, f"wrong_{name}", expected)


def _discriminator(pick: Callable[[Any], str | None], kind: str, message: str) -> Discriminator:
    return Discriminator(pick, custom_error_type=kind, custom_error_message=message)

"""What the request models share: strictness, and unions that tell their members apart by JSON type."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Discriminator

# Tags stand in pydantic's error locations; the mark tells them from field names.
MARK = "~"
TEXT, LIST, OBJECT = "~text", "~list", "~object"
# Before the field's name, the type of the error when no member of a union has the field's value.
WRONG_FIELD = "wrong_field_"


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

    return Discriminator(shape, custom_error_type="wrong_shape", custom_error_message=expected["expected"])


def by_field(name: str, known: frozenset[str], expected: str) -> Discriminator:
    """Picks a union's member by the text in its field `name`."""

    def tag(value: Any) -> str | None:
        chosen = value.get(name) if isinstance(value, dict) else getattr(value, name, None)
        return f"{MARK}{chosen}" if isinstance(chosen, str) and chosen in known else None

    return Discriminator(tag, custom_error_type=WRONG_FIELD + name, custom_error_message=expected)

"""Settings that are shares or lists, as the text in which they are written. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from fractions import Fraction

# What may stand at the left of a pair: a tool's name, or a pattern of names with * and ?.
_PATTERN = re.compile(r"[\w.:/*?-]+")


def share_of(text: str) -> Fraction:
    """A share of the voters, `2/3` or `0.8`: above a half, at most 1. Raises ValueError saying so."""
    try:
        share = Fraction(text.strip())
    except (ValueError, ZeroDivisionError) as error:
        raise ValueError(f"expected a share such as 2/3, got {text!r}") from error
    if not Fraction(1, 2) < share <= 1:
        raise ValueError(f"expected a share above 1/2 and at most 1, got {text!r}")
    return share


def names_of(text: str) -> tuple[str, ...]:
    """Names with commas between; blanks around them do not count."""
    return tuple(name for part in text.split(",") if (name := part.strip()))


def pairs_of(text: str, values: Collection[str]) -> tuple[tuple[str, str], ...]:
    """`pattern=value` with commas between, in their order. Raises ValueError naming the part that is none."""
    pairs = []
    for part in names_of(text):
        pattern, _, value = (each.strip() for each in part.partition("="))
        if not _PATTERN.fullmatch(pattern) or value not in values:
            raise ValueError(f"expected name=value with a value of {', '.join(values)}, got {part!r}")
        pairs.append((pattern, value))
    return tuple(pairs)

"""Loads the phrasing files and fills their alternations and slots.

A line is a template: `[a|b|]` picks one alternative (may nest), `{slot}` is a slot, `\\n` a new line. In files of the form
`text => answer` both halves are templates.
"""

from __future__ import annotations

import random
import re
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "phrasings"
SLOT = re.compile(r"\{(\w+)\}")
_INNERMOST = re.compile(r"\[([^\[\]]*)\]")


@cache
def lines(intent: str, held_out: bool) -> tuple[str, ...]:
    """The templates of an intent. Raises FileNotFoundError if the file is missing, ValueError if it is empty."""
    file = FOLDER / ("held_out" if held_out else "known") / f"{intent}.txt"
    found = (line.strip() for line in file.read_text(encoding="utf-8").splitlines())
    kept = tuple(dict.fromkeys(line for line in found if line and not line.startswith("#")))
    if not kept:
        raise ValueError(f"{file.name}: no phrasings")
    return kept


def choose(template: str, rng: random.Random) -> str:
    """The template with every alternation decided."""
    while match := _INNERMOST.search(template):
        options = match.group(1).split("|")
        template = template[: match.start()] + options[int(rng.random() * len(options))] + template[match.end() :]
    return re.sub(r" {2,}", " ", template.replace("\\n", "\n")).strip()


def every(template: str) -> list[str]:
    """All texts that the alternations of a template can give."""
    match = _INNERMOST.search(template)
    if not match:
        return [re.sub(r" {2,}", " ", template.replace("\\n", "\n")).strip()]
    out: list[str] = []
    for option in match.group(1).split("|"):
        out += every(template[: match.start()] + option + template[match.end() :])
    return list(dict.fromkeys(out))


def pair(template: str) -> tuple[str, str]:
    """The two halves of `text => answer`. Raises ValueError if there is no arrow."""
    text, arrow, answer = template.partition("=>")
    if not arrow:
        raise ValueError(f"no => in the line {template!r}")
    return text.strip(), answer.strip()


def fill(template: str, values: dict[str, str]) -> str:
    """The template with its slots filled. Raises KeyError for a slot without a value."""
    return SLOT.sub(lambda match: values[match.group(1)], template)

"""Outputs that no model should write, and some do: soups of markers, and damaged examples."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from random import Random

from services.inference_worker.chat.formats import FORMATS, Format

# What stands around and between markers in all formats.
_SCRAPS = (
    '{"name": "bash", "arguments": {"command": "ls"}}', '{"name": "list_files"}', '{"command": "ls"}', "{}",
    "[", "]", "{", "}", '"', "'", "\\", "\\u00e9", "\\ud83d", ":", ",", ";", "=", "(", ")", "<", ">", "</",
    "|", "`", "```", "null", "true", "-1.5e3", '"name": ', '"arguments": ', '"parameters": ', '"tool_name": ',
    "bash", "list_files", "functions.bash:0", "bash(command='ls')", "call:bash{", "command", "all\n", "json",
    "function", "prose ", " ", "\n", "\n\n", "\r\n", "\t", "    ", "é", "😀", "漢", "e\u0301", "\u2028",
    "\x00", "\ufeff",
)  # fmt: skip
_EVERY_MARKER = tuple(
    sorted({text for form in FORMATS.values() for text in (*form.markers, *form.end_tokens)})
)


def soup(random: Random, form: Format) -> str:
    """Markers of `form`, markers of others and scraps, whole and cut."""
    own = form.markers or _EVERY_MARKER
    kinds = random.choices((own, _SCRAPS, _EVERY_MARKER), (5, 5, 1), k=random.randint(1, 24))
    parts = (random.choice(kind) for kind in kinds)
    return "".join(part[: random.randint(1, len(part))] if random.random() < 0.1 else part for part in parts)


def damaged(random: Random, form: Format, examples: Sequence[str]) -> str:
    """One of `examples` after one to four accidents."""
    text = random.choice(examples)
    for _ in range(random.randint(1, 4)):
        text = random.choice(_ACCIDENTS)(random, form, text, random.choice(examples))
    return text


def pieces(random: Random, text: str) -> list[str]:
    """`text` in up to eight pieces, some of them empty, or character by character."""
    if random.random() < 0.2:
        return list(text)
    cuts = [0, *sorted(random.choices(range(len(text) + 1), k=random.randint(1, 7))), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(cuts)]


def _span(random: Random, text: str) -> tuple[int, int]:
    start = random.randint(0, len(text))
    return start, min(len(text), start + random.randint(0, 20))


def _cut(random: Random, form: Format, text: str, other: str) -> str:
    return text[: random.randint(0, len(text))]


def _drop(random: Random, form: Format, text: str, other: str) -> str:
    start, end = _span(random, text)
    return text[:start] + text[end:]


def _repeat(random: Random, form: Format, text: str, other: str) -> str:
    start, end = _span(random, text)
    return text[:end] + text[start:]


def _insert(random: Random, form: Format, text: str, other: str) -> str:
    at = random.randint(0, len(text))
    return text[:at] + random.choice((*form.markers, *_SCRAPS)) + text[at:]


def _flip(random: Random, form: Format, text: str, other: str) -> str:
    if not text:
        return text
    at = random.randrange(len(text))
    flipped = ord(text[at]) ^ (1 << random.randrange(7))
    return text[:at] + chr(flipped) + text[at + 1 :]


def _splice(random: Random, form: Format, text: str, other: str) -> str:
    return text[: random.randint(0, len(text))] + other[random.randint(0, len(other)) :]


_ACCIDENTS = (_cut, _drop, _repeat, _insert, _flip, _splice)

"""Small tools for text that arrives in pieces."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

BLANKS = " \t\r\n"


def partial_suffix(text: str, markers: Sequence[str]) -> int:
    """Length of the longest end of `text` that begins one of `markers` without being the whole of it."""
    beginnings, longest = _beginnings(tuple(markers))
    for length in range(min(len(text), longest), 0, -1):
        if text[-length:] in beginnings:
            return length
    return 0


def may_become(text: str, markers: Sequence[str]) -> bool:
    """Whether the whole of `text` is the beginning of one of `markers`."""
    beginnings, longest = _beginnings(tuple(markers))
    return len(text) <= longest and (text in beginnings if text else longest > 0)


@lru_cache(maxsize=1024)
def _beginnings(markers: tuple[str, ...]) -> tuple[frozenset[str], int]:
    """All that begins one of `markers` without being the whole of it, and the length of the longest."""
    found = frozenset(marker[:end] for marker in markers for end in range(1, len(marker)))
    return found, max(map(len, found), default=0)


class Trailing:
    """Passes text on but for the blanks at its end, which may turn out to belong to a marker."""

    def __init__(self, blanks: str) -> None:
        self._blanks = blanks
        self._held: list[str] = []

    def push(self, text: str) -> str:
        """The text that may go out now, held blanks before it."""
        kept = text.rstrip(self._blanks)
        if not kept:
            if text:
                self._held.append(text)
            return ""
        out = "".join(self._held) + kept
        self._held = [text[len(kept) :]] if len(kept) < len(text) else []
        return out

    def hold(self, text: str) -> None:
        """Keeps text that push would pass on."""
        if text:
            self._held.append(text)

    def release(self) -> str:
        """What is held, given out."""
        out = "".join(self._held)
        self._held = []
        return out


class Sieve:
    """Drops texts such as end tokens out of a text in pieces, and holds back what may begin one."""

    def __init__(self, dropped: Sequence[str]) -> None:
        self._dropped = tuple(dropped)
        self._pattern = any_of(self._dropped)
        self._held = ""

    def push(self, text: str) -> str:
        if not self._dropped:
            return text
        *whole, last = self._pattern.split(self._held + text)
        end = len(last) - partial_suffix(last, self._dropped)
        self._held = last[end:]
        return "".join(whole) + last[:end]

    def release(self) -> str:
        out, self._held = self._held, ""
        return out


@lru_cache(maxsize=256)
def any_of(texts: tuple[str, ...]) -> re.Pattern[str]:
    """Matches the longest of `texts` that stands at a place; nothing at all, when there are none."""
    return re.compile("|".join(re.escape(text) for text in sorted(texts, key=len, reverse=True)) or "(?!)")

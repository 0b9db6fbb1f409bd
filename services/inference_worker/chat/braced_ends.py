"""Where a text within braces ends: only where the structure of the call goes on behind it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from services.inference_worker.chat.formats import Format
from services.inference_worker.chat.text import BLANKS, may_become

_LONGEST = 256  # characters that are looked through for what follows
_PAIRS = ("{}", "[]")
_BARE_KEY = re.compile(r"[^:{}\[\],\"\n]*")
_PLAIN_KEY = re.compile(r"[\w.$@/-]+[ \t]*")
_QUOTED_KEY = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_QUOTED_KEY_SO_FAR = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*\\?')
_ITEM = re.compile(r'-?[0-9]|["{\[]|true|false|null|None')
_ITEM_WORDS = ("-0", "true", "false", "null", "None")


class Ends:
    """What may follow a value, as `format` writes it."""

    def __init__(self, format: Format) -> None:
        self._value = format.value
        self._behind = tuple(
            marker
            for marker in (
                format.call.close,
                format.call.open,
                format.function.open or format.name_prefix,
                *(tag.close for tag in format.section),
                *format.noise,
                *format.end_tokens,
            )
            if marker
        )

    def key(self, text: str) -> tuple[str, int] | None:
        """A key at the beginning of `text` and where its value begins; None: more must come; "": no key."""
        colon = len(text)
        if may_become(text, (self._value.open,)):
            return None
        if text.startswith(self._value.open):
            start = len(self._value.open)
            end = text.find(self._value.close, start)
            key, colon = (text[start:end], end + len(self._value.close)) if end >= 0 else ("", colon)
        elif match := _QUOTED_KEY.match(text):
            key, colon = _unquoted(match[0]), match.end()
        elif text[:1] == '"':
            return None if _QUOTED_KEY_SO_FAR.fullmatch(text) else ("", 0)
        elif match := _BARE_KEY.match(text):
            key, colon = match[0].strip(BLANKS), match.end()
        rest = text[colon:].lstrip(BLANKS)
        if not rest:
            return None
        return (key, len(text) - len(rest) + 1) if rest[0] == ":" else ("", 0)

    def structure(self, text: str, at: int, containers: Sequence[str], final: bool) -> bool | None:
        """Whether `text` from `at` goes on as it must behind a value in `containers`, the innermost last.

        None: more text must come. The end of the whole text (`final`) fits everything.
        """
        depth = len(containers)
        while depth:
            at = _blanks(text, at)
            if at == len(text):
                return True if final else None
            inner = containers[depth - 1]
            if text[at] == ",":
                at = _blanks(text, at + 1)
                if inner + text[at : at + 1] not in _PAIRS:
                    return self._next(text, at, inner, final)
            if inner + text[at] not in _PAIRS:
                return False
            at += 1
            depth -= 1
        return self._end(text, at, final)

    def _next(self, text: str, at: int, container: str, final: bool) -> bool | None:
        """Whether another member follows a comma."""
        rest = text[at : at + _LONGEST]
        if not rest or may_become(rest, (self._value.open, *_ITEM_WORDS)):
            return True if final else None
        if container == "[":
            return rest.startswith(self._value.open) or _ITEM.match(rest) is not None
        if rest[0] != '"' and not rest.startswith(self._value.open):
            plain = _PLAIN_KEY.match(rest)
            if plain is None or rest[plain.end() : plain.end() + 1] not in ("", ":"):
                return False
        found = self.key(rest)
        if found is None:
            return len(rest) < _LONGEST // 2 and (True if final else None)
        return bool(found[0])

    def _end(self, text: str, at: int, final: bool) -> bool | None:
        """Whether the call is over at `at`: closers (some once too often), the end, or blanks follow."""
        rest = text[at : at + _LONGEST]
        following = rest.lstrip("}]" + BLANKS)
        if following.startswith(self._behind):
            return True
        if not following or may_become(following, self._behind):
            return True if final or len(rest) == _LONGEST else None
        return rest[0] in BLANKS


def _blanks(text: str, at: int) -> int:
    while at < len(text) and text[at] in BLANKS:
        at += 1
    return at


def _unquoted(literal: str) -> str:
    try:
        return str(json.loads(literal))
    except ValueError:
        return ""

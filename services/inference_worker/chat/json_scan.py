"""Follows one JSON value as it arrives, and tells at the first wrong character that it is none.

Strict as RFC 8259, and stricter in two points, so that whatever passes can be parsed and sent by everybody:
surrogates must come in pairs, and nesting has a limit.
"""

from __future__ import annotations

import re
from enum import Enum, auto

MAX_DEPTH = 200

_PLAIN_CHARACTERS = re.compile(r'[^"\\\x00-\x1f\ud800-\udfff]*')
_WHITESPACE = " \t\r\n"
_HEX = "0123456789abcdefABCDEF"
_LITERALS = {"t": "true", "f": "false", "n": "null"}

# The states of a number and where each kind of character leads; the accepting ones are a whole number.
_NUMBER: dict[str, dict[str, str]] = {
    "minus": {"0": "zero", "9": "integer"},
    "zero": {".": "dot", "e": "exponent"},
    "integer": {"0": "integer", "9": "integer", ".": "dot", "e": "exponent"},
    "dot": {"0": "fraction", "9": "fraction"},
    "fraction": {"0": "fraction", "9": "fraction", "e": "exponent"},
    "exponent": {"0": "power", "9": "power", "+": "sign", "-": "sign"},
    "sign": {"0": "power", "9": "power"},
    "power": {"0": "power", "9": "power"},
}
_WHOLE_NUMBERS = frozenset({"zero", "integer", "fraction", "power"})


class ScanState(Enum):
    OPEN = auto()
    COMPLETE = auto()
    INVALID = auto()


class _Mode(Enum):
    VALUE = auto()
    FIRST_ITEM = auto()
    FIRST_KEY = auto()
    KEY = auto()
    COLON = auto()
    AFTER_VALUE = auto()
    STRING = auto()
    ESCAPE = auto()
    UNICODE = auto()
    LITERAL = auto()
    NUMBER = auto()


class JsonScanner:
    """`feed` pieces until `state` is COMPLETE or INVALID; what follows the value is never consumed."""

    __slots__ = ("_containers", "_high_surrogate", "_in_key", "_mode", "_number", "_wanted", "state")

    def __init__(self) -> None:
        self.state = ScanState.OPEN
        self._mode = _Mode.VALUE
        self._containers: list[str] = []
        self._in_key = False
        self._high_surrogate = False
        self._wanted = ""  # the rest of a literal, or the hexadecimal digits of an escape so far
        self._number = ""

    def feed(self, text: str, at: int = 0) -> int:
        """Reads on from `text[at]`; returns the index of the first character that it did not consume."""
        while at < len(text) and self.state is ScanState.OPEN:
            at = self._step(text, at)
        return at

    def finish(self) -> ScanState:
        """Nothing follows: a number at the end is whole, anything else that is open stays open."""
        if self.state is ScanState.OPEN and self._mode is _Mode.NUMBER and self._number in _WHOLE_NUMBERS:
            self._end_value()
        return self.state

    def _step(self, text: str, at: int) -> int:
        character = text[at]
        match self._mode:
            case _Mode.STRING:
                return self._string(text, at)
            case _Mode.ESCAPE:
                return self._escape(character, at)
            case _Mode.UNICODE:
                return self._unicode(character, at)
            case _Mode.NUMBER:
                return self._digits(character, at)
            case _Mode.LITERAL:
                return self._literal(character, at)
        if character in _WHITESPACE:
            return at + 1
        return self._structure(character, at)

    def _structure(self, character: str, at: int) -> int:
        match self._mode, character:
            case ((_Mode.FIRST_KEY | _Mode.KEY), '"'):
                self._mode, self._in_key = _Mode.STRING, True
            case (_Mode.FIRST_KEY, "}") | (_Mode.FIRST_ITEM, "]"):
                self._containers.pop()
                self._end_value()
            case ((_Mode.VALUE | _Mode.FIRST_ITEM), _):
                return self._begin_value(character, at)
            case _Mode.COLON, ":":
                self._mode = _Mode.VALUE
            case _Mode.AFTER_VALUE, ",":
                self._mode = _Mode.KEY if self._containers[-1] == "{" else _Mode.VALUE
            case _Mode.AFTER_VALUE, ("}" | "]") if self._containers[-1] + character in ("{}", "[]"):
                self._containers.pop()
                self._end_value()
            case _:
                return self._refuse(at)
        return at + 1

    def _begin_value(self, character: str, at: int) -> int:
        if character in "{[":
            if len(self._containers) == MAX_DEPTH:
                return self._refuse(at)
            self._containers.append(character)
            self._mode = _Mode.FIRST_KEY if character == "{" else _Mode.FIRST_ITEM
        elif character == '"':
            self._mode, self._in_key = _Mode.STRING, False
        elif character in _LITERALS:
            self._mode, self._wanted = _Mode.LITERAL, _LITERALS[character][1:]
        elif character in "-0123456789":
            self._mode = _Mode.NUMBER
            self._number = {"-": "minus", "0": "zero"}.get(character, "integer")
        else:
            return self._refuse(at)
        return at + 1

    def _end_value(self) -> None:
        if self._containers:
            self._mode = _Mode.AFTER_VALUE
        else:
            self.state = ScanState.COMPLETE

    def _string(self, text: str, at: int) -> int:
        end = _PLAIN_CHARACTERS.match(text, at).end()  # type: ignore[union-attr]  # matches the empty text too
        if self._high_surrogate and (end > at or (end < len(text) and text[end] != "\\")):
            return self._refuse(at)
        if end == len(text):
            return end
        if text[end] == "\\":
            self._mode = _Mode.ESCAPE
        elif text[end] == '"':
            if self._in_key:
                self._mode = _Mode.COLON
            else:
                self._end_value()
        else:
            return self._refuse(end)
        return end + 1

    def _escape(self, character: str, at: int) -> int:
        if character == "u":
            self._mode, self._wanted = _Mode.UNICODE, ""
        elif character in '"\\/bfnrt' and not self._high_surrogate:
            self._mode = _Mode.STRING
        else:
            return self._refuse(at)
        return at + 1

    def _unicode(self, character: str, at: int) -> int:
        if character not in _HEX:
            return self._refuse(at)
        self._wanted += character
        if len(self._wanted) == 4:
            code = int(self._wanted, 16)
            if (0xDC00 <= code <= 0xDFFF) != self._high_surrogate:
                return self._refuse(at)
            self._high_surrogate = 0xD800 <= code <= 0xDBFF
            self._mode = _Mode.STRING
        return at + 1

    def _literal(self, character: str, at: int) -> int:
        if character != self._wanted[0]:
            return self._refuse(at)
        self._wanted = self._wanted[1:]
        if not self._wanted:
            self._end_value()
        return at + 1

    def _digits(self, character: str, at: int) -> int:
        kind = "9" if character in "123456789" else "e" if character == "E" else character
        following = _NUMBER[self._number].get(kind)
        if following is not None:
            self._number = following
            return at + 1
        if self._number not in _WHOLE_NUMBERS:
            return self._refuse(at)
        self._end_value()
        return at

    def _refuse(self, at: int) -> int:
        self.state = ScanState.INVALID
        return at


def is_json(text: str) -> bool:
    """Whether `text` is one JSON value and nothing else but blanks around it."""
    scanner = JsonScanner()
    end = scanner.feed(text)
    return scanner.finish() is ScanState.COMPLETE and not text[end:].strip(_WHITESPACE)

"""Turns one Python literal into JSON text while it arrives; nothing is ever evaluated.

Texts (with prefixes, three quotes, escapes, several in a row), numbers, True / False / None and JSON's words,
lists, tuples, dictionaries. A raw line end in a text is taken for what it is; other expressions are refused.
"""

from __future__ import annotations

import json
import re
from enum import Enum, auto

from services.inference_worker.chat.bare import LONGEST, literal
from services.inference_worker.chat.json_scan import MAX_DEPTH, ScanState
from services.inference_worker.chat.python_text import PythonText
from services.inference_worker.chat.text import BLANKS
from services.inference_worker.chat.values import STRING, escape, to_json

_TEXT_OPENER = re.compile(r"[bBrRuU]{0,2}(\"\"\"|'''|\"|')")
_WORD = re.compile(r"[\w.+\-]+")
_PREFIXES = frozenset("bBrRuU")
_CLOSERS = {"[": "]", "(": ")", "{": "}"}


class _Mode(Enum):
    VALUE = auto()
    TEXT = auto()
    BEHIND_TEXT = auto()
    AFTER_VALUE = auto()
    COLON = auto()


class PythonLiteral:
    """`read` until `state` is COMPLETE or INVALID; `take` gives the JSON text that is certain.

    types: what the schema declares for the value, None for nothing. They decide about bare words, and about
    texts where none is allowed; inside lists and dictionaries every value is as it is written.
    """

    def __init__(self, types: frozenset[str] | None) -> None:
        self.state = ScanState.OPEN
        self._types = types
        self._mode = _Mode.VALUE
        self._open: list[str] = []
        self._filled: list[bool] = []  # whether the containers have a member
        self._key = False  # what is read is a dictionary's key
        self._text = PythonText("", raw=False)
        self._whole: list[str] | None = None  # a text whose type must be looked for
        self._out: list[str] = []
        self._undecided: list[int] = []  # where in _out parentheses began that may be no tuple

    def take(self) -> str:
        if self._undecided:
            return ""
        out = "".join(self._out)
        self._out = []
        return out

    def read(self, text: str, at: int, final: bool = False) -> int:
        """Reads on from `text[at]`; returns where it stopped. What it left must be given again, with more."""
        while self.state is ScanState.OPEN:
            if self._mode is not _Mode.TEXT:
                while at < len(text) and text[at] in BLANKS:
                    at += 1
            if at == len(text):
                break
            after = self._step(text, at, final)
            if after is None:
                break
            at = after
        return at

    def _step(self, text: str, at: int, final: bool) -> int | None:
        """Where the next thing ends; None: more text must come first."""
        match self._mode:
            case _Mode.VALUE:
                return self._value(text, at, final)
            case _Mode.TEXT:
                return self._inside_text(text, at)
            case _Mode.BEHIND_TEXT:
                return self._behind_text(text, at, final)
            case _Mode.COLON:
                if text[at] != ":":
                    return self._refuse(at)
                self._out.append(":")
                self._key = False
                self._mode = _Mode.VALUE
                return at + 1
            case _Mode.AFTER_VALUE:
                return self._after_value(text, at)

    def _value(self, text: str, at: int, final: bool) -> int | None:
        character = text[at]
        if self._open and character == _CLOSERS[self._open[-1]] and (self._key or self._open[-1] != "{"):
            return self._close(at)
        if character in _CLOSERS:
            return self._enter(character, at)
        opener = _TEXT_OPENER.match(text, at)
        if opener is not None:
            short = len(opener[1]) == 1
            if short and not final and text[opener.end() :] in ("", opener[1]):
                return None  # one quote may become three
            self._member()
            self._begin_text(opener)
            return opener.end()
        word = _WORD.match(text, at)
        if word is None or len(word[0]) > LONGEST:
            return self._refuse(at)
        if word.end() == len(text) and not final:
            return None
        types = None if self._open else self._types
        value = literal(word[0], types)
        if value is None:
            return self._refuse(at)
        self._member()
        if self._key:
            value = value if value[0] == '"' else json.dumps(value)
        self._out.append(value)
        self._mode = _Mode.COLON if self._key else _Mode.AFTER_VALUE
        return word.end()

    def _enter(self, bracket: str, at: int) -> int:
        if len(self._open) == MAX_DEPTH or self._key:
            return self._refuse(at)
        self._member()
        if bracket == "(":
            self._undecided.append(len(self._out))
            self._out.append("")
        else:
            self._out.append(bracket)
        self._open.append(bracket)
        self._filled.append(False)
        self._key = bracket == "{"
        self._mode = _Mode.VALUE
        return at + 1

    def _close(self, at: int) -> int:
        bracket = self._open.pop()
        filled = self._filled.pop()
        if bracket == "(":
            start = self._undecided.pop()
            tuple_ = self._out[start] == "[" or not filled
            self._out[start] = "[" if tuple_ else ""
            self._out.append("]" if tuple_ else "")
        else:
            self._out.append(_CLOSERS[bracket])
        self._key = False
        self._mode = _Mode.AFTER_VALUE
        return at + 1

    def _after_value(self, text: str, at: int) -> int:
        if not self._open:
            self.state = ScanState.COMPLETE
            return at
        bracket = self._open[-1]
        if text[at] == _CLOSERS[bracket]:
            return self._close(at)
        if text[at] != ",":
            return self._refuse(at)
        if bracket == "(":
            self._out[self._undecided[-1]] = "["
        self._key = bracket == "{"
        self._mode = _Mode.VALUE
        return at + 1

    def _member(self) -> None:
        """Another value begins in the innermost container, behind a key or a comma."""
        if not self._open or (self._open[-1] == "{" and not self._key):
            return
        if self._filled[-1]:
            self._out.append(",")
        self._filled[-1] = True

    def _begin_text(self, opener: re.Match[str]) -> None:
        self._text = PythonText(opener[1], raw="r" in opener[0].lower())
        if not self._open and self._types is not None and not self._types & STRING:
            self._whole = []
        else:
            self._out.append('"')
        self._mode = _Mode.TEXT

    def _inside_text(self, text: str, at: int) -> int | None:
        piece, end = self._text.read(text, at)
        if self._whole is not None:
            self._whole.append(piece)
        elif piece:
            self._out.append(escape(piece))
        if self._text.ended:
            self._mode = _Mode.BEHIND_TEXT
        return end if end > at or self._text.ended else None

    def _behind_text(self, text: str, at: int, final: bool) -> int | None:
        opener = _TEXT_OPENER.match(text, at)
        if opener is not None:
            if len(opener[1]) == 1 and not final and text[opener.end() :] in ("", opener[1]):
                return None
            self._text = PythonText(opener[1], raw="r" in opener[0].lower())
            self._mode = _Mode.TEXT
            return opener.end()
        if not final and set(text[at:]) <= _PREFIXES and len(text) - at <= 2:
            return None
        if self._whole is not None:
            self._out.append(to_json("".join(self._whole), self._types or STRING))
            self._whole = None
        else:
            self._out.append('"')
        self._mode = _Mode.COLON if self._key else _Mode.AFTER_VALUE
        return at

    def _refuse(self, at: int) -> int:
        self.state = ScanState.INVALID
        return at

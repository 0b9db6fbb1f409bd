"""Reads a call whose arguments stand in braces, keys bare and texts between markers of their own, such as

    call:bash{command:<|"|>ls -l<|"|>,options:{limit:5,names:[<|"|>a<|"|>]}}

Texts are raw and may contain anything, their own marker included: a marker ends a text only where the
structure goes on behind it. Bare words are typed by the tool's schema where it declares the parameter.
"""

from __future__ import annotations

import json
import re
from enum import Enum, auto

from services.inference_worker.chat.bare import word
from services.inference_worker.chat.braced_ends import Ends
from services.inference_worker.chat.formats import Format
from services.inference_worker.chat.json_scan import MAX_DEPTH, JsonScanner, ScanState
from services.inference_worker.chat.steps import Arguments, End, ReaderState, Start, Step
from services.inference_worker.chat.text import BLANKS, may_become, partial_suffix
from services.inference_worker.chat.toolbox import Toolbox
from services.inference_worker.chat.values import STRING, escape, to_json

_NAME = re.compile(r"[ \t\r\n]*([\w.:/-]{1,256})[ \t\r\n]*\{")
_PARTIAL_NAME = re.compile(r"[ \t\r\n]*[\w.:/-]{0,256}[ \t\r\n]{0,256}")
_BRACKETS = re.compile(r"[{}\[\],]")
_LONGEST_KEY = 256


class _Mode(Enum):
    PREFIX = auto()
    NAME = auto()
    KEY = auto()
    VALUE = auto()
    TEXT = auto()
    QUOTED = auto()
    BARE = auto()
    AFTER_VALUE = auto()


class BracedCallReader:
    """`sure`: an opener announced the call. Else it takes an offered name or a text between its markers."""

    def __init__(self, format: Format, tools: Toolbox, sure: bool) -> None:
        self.state = ReaderState.OPEN
        self.begun = False
        self.started = False
        self.rest = ""
        self._format = format
        self._tools = tools
        self._sure = sure
        self._mode = _Mode.PREFIX
        self._text = ""
        self._name = ""
        self._types: dict[str, frozenset[str]] = {}
        self._seen: set[str] = set()
        self._open: list[str] = []  # the containers around what is read now
        self._empty = True  # nothing was read in the innermost of them
        self._kind: frozenset[str] | None = None  # what is declared for the value, at the top level
        self._value: list[str] = []  # of a value that must be known whole
        self._depth = 0  # of brackets within bare text
        self._scanner = JsonScanner()
        self._ends = Ends(format)
        self._pending: list[str] = []  # arguments that go out once the call has started
        self._handlers = {
            _Mode.PREFIX: self._read_prefix,
            _Mode.NAME: self._read_name,
            _Mode.KEY: self._read_key,
            _Mode.VALUE: self._begin_value,
            _Mode.TEXT: self._read_text,
            _Mode.QUOTED: self._read_quoted,
            _Mode.BARE: self._read_bare,
            _Mode.AFTER_VALUE: self._after_value,
        }

    def feed(self, text: str) -> list[Step]:
        return self._advance(text, final=False)

    def finish(self, cut_off: bool) -> list[Step]:
        return self._advance("", final=True)

    def _advance(self, text: str, final: bool) -> list[Step]:
        self._text += text
        steps: list[Step] = []
        while self.state is ReaderState.OPEN and self._handlers[self._mode](steps, final):
            pass
        if self.state is not ReaderState.OPEN:
            self.rest, self._text = self._text, ""
        self._send(steps)
        return steps

    # Each handler takes what it can from self._text and tells whether there is more to do.

    def _read_prefix(self, steps: list[Step], final: bool) -> bool:
        self._text = self._text.lstrip(BLANKS)
        prefix = self._format.function.open or self._format.name_prefix
        if may_become(self._text, (prefix,)):
            return False
        if self._text.startswith(prefix):
            self.begun = self._sure
            return self._take(len(prefix), _Mode.NAME)
        return self._take(0, _Mode.NAME) if self._sure else self._refuse()

    def _read_name(self, steps: list[Step], final: bool) -> bool:
        match = _NAME.match(self._text)
        if match is None:
            return False if _PARTIAL_NAME.fullmatch(self._text) else self._refuse()
        self._name = self._tools.mend(match[1])
        self._types = dict(self._tools.parameter_types(self._name))
        self._text = self._text[match.end() :]
        self._enter("{")
        if self._sure:
            self._start(steps)
        return True

    def _read_key(self, steps: list[Step], final: bool) -> bool:
        self._text = self._text.lstrip(BLANKS)
        if self._text.startswith("}"):
            return self._close(steps)  # empty, or behind a comma too many
        found = self._ends.key(self._text)
        if found is None:
            return False if len(self._text) <= _LONGEST_KEY else self._refuse()
        key, end = found
        if not key or (len(self._open) == 1 and key in self._seen):
            return self._refuse()  # said twice: which one is meant would be a guess
        if len(self._open) == 1:
            self._seen.add(key)
            self._kind = self._types.get(key)
        lead = "," if not self._empty else "{" if len(self._open) == 1 else ""
        self._write(lead + json.dumps(key, ensure_ascii=False) + ":")
        self._empty = False
        if self._tools.offers(self._name):
            self._start(steps)
        return self._take(end, _Mode.VALUE)

    def _begin_value(self, steps: list[Step], final: bool) -> bool:
        self._text = self._text.lstrip(BLANKS)
        marker = self._format.value.open
        if not self._text or may_become(self._text, (marker,)):
            return False
        if self._open[-1] == "[":
            if self._text[0] == "]":
                return self._close(steps)
            self._write("" if self._empty else ",")
            self._empty = False
        kind = self._kind if len(self._open) == 1 else None
        self._value = []
        if self._text.startswith(marker):
            self._start(steps)
            self._write('"' if _may_be_text(kind) else "")
            return self._take(len(marker), _Mode.TEXT)
        bracket = self._text[0] in "{["
        if bracket and (kind is None or kind & {"object", "array"} or not _may_be_text(kind)):
            return self._enter_value()
        if self._text[0] == '"':
            self._scanner = JsonScanner()
            return self._take(0, _Mode.QUOTED)
        self._depth = 0
        return self._take(0, _Mode.BARE)

    def _enter_value(self) -> bool:
        if len(self._open) == MAX_DEPTH:
            return self._refuse()
        bracket = self._text[0]
        self._text = self._text[1:]
        self._enter(bracket)
        return True

    def _read_text(self, steps: list[Step], final: bool) -> bool:
        marker = self._format.value.close
        start = 0
        while (at := self._text.find(marker, start)) >= 0:
            start = at + len(marker)
            ended = self._ends.structure(self._text, start, self._open, final)
            if ended is not False:
                self._take_text(at)
            if ended is None:
                return False
            if ended:
                kind = self._kind if len(self._open) == 1 else None
                whole = '"' if _may_be_text(kind) else to_json("".join(self._value), kind or STRING)
                self._write(whole)
                return self._take(len(marker), _Mode.AFTER_VALUE)
        self._take_text(len(self._text) - partial_suffix(self._text, (marker,)))
        return False

    def _take_text(self, end: int) -> None:
        piece, self._text = self._text[:end], self._text[end:]
        if len(self._open) == 1 and not _may_be_text(self._kind):
            self._value.append(piece)
        else:
            self._write(escape(piece))

    def _read_quoted(self, steps: list[Step], final: bool) -> bool:
        """A text in JSON's own notation."""
        end = self._scanner.feed(self._text)
        self._value.append(self._text[:end])
        self._text = self._text[end:]
        if self._scanner.state is ScanState.INVALID:
            return self._refuse()
        if self._scanner.state is ScanState.OPEN:
            return False
        kind = self._kind if len(self._open) == 1 else None
        literal = "".join(self._value)
        self._write(literal if _may_be_text(kind) else to_json(json.loads(literal), kind or STRING))
        self._mode = _Mode.AFTER_VALUE
        return True

    def _read_bare(self, steps: list[Step], final: bool) -> bool:
        """A word, or text without its markers: it ends where the structure goes on."""
        for found in _BRACKETS.finditer(self._text):
            if self._depth == 0 and found[0] not in "{[":
                ended = self._ends.structure(self._text, found.start(), self._open, final)
                if ended is None:
                    self._take_bare(found.start())
                    return False
                if ended:
                    self._take_bare(found.start())
                    kind = self._kind if len(self._open) == 1 else None
                    self._write(word("".join(self._value).strip(BLANKS), kind))
                    self._mode = _Mode.AFTER_VALUE
                    return True
            if found[0] != ",":
                self._depth = max(0, self._depth + (1 if found[0] in "{[" else -1))
        self._take_bare(len(self._text))
        return False

    def _take_bare(self, end: int) -> None:
        self._value.append(self._text[:end])
        self._text = self._text[end:]

    def _after_value(self, steps: list[Step], final: bool) -> bool:
        self._text = self._text.lstrip(BLANKS)
        if not self._text:
            return False
        if self._text[0] == ",":
            return self._take(1, _Mode.KEY if self._open[-1] == "{" else _Mode.VALUE)
        if self._open[-1] + self._text[0] in ("{}", "[]"):
            return self._close(steps)
        return self._refuse()

    def _enter(self, bracket: str) -> None:
        if self._open:
            self._write(bracket)
        self._open.append(bracket)
        self._empty = True
        self._mode = _Mode.KEY if bracket == "{" else _Mode.VALUE

    def _close(self, steps: list[Step]) -> bool:
        bracket, self._text = self._text[0], self._text[1:]
        self._open.pop()
        self._empty = False
        self._mode = _Mode.AFTER_VALUE
        if self._open:
            self._write(bracket)
            return True
        if not self._seen and not self._sure and not self._tools.offers(self._name):
            return self._refuse()
        self._start(steps)
        self._write("}" if self._seen else "{}")
        self._send(steps)
        steps.append(End())
        self.state = ReaderState.DONE
        return False

    def _write(self, json_text: str) -> None:
        if json_text:
            self._pending.append(json_text)

    def _send(self, steps: list[Step]) -> None:
        if self.started and self._pending:
            steps.append(Arguments("".join(self._pending)))
            self._pending = []

    def _start(self, steps: list[Step]) -> None:
        if not self.started:
            self.started = self.begun = True
            steps.append(Start(self._name))

    def _take(self, count: int, mode: _Mode) -> bool:
        self._text = self._text[count:]
        self._mode = mode
        return True

    def _refuse(self) -> bool:
        self.state = ReaderState.BROKEN if self.started else ReaderState.FAILED
        return False


def _may_be_text(types: frozenset[str] | None) -> bool:
    return types is None or "string" in types

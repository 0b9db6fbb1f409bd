"""Reads a call that is written in Python, such as `bash(command="ls", timeout=5)`.

Where markers announce the call, the schema decides about types, and arguments without a name are its
properties in order. Where a call may be prose, values are as they are written and every argument has a name.
"""

from __future__ import annotations

import json
import re
from enum import Enum, auto

from services.inference_worker.chat.formats import Format, Trust
from services.inference_worker.chat.json_scan import ScanState
from services.inference_worker.chat.python_literal import PythonLiteral
from services.inference_worker.chat.steps import Arguments, End, ReaderState, Start, Step
from services.inference_worker.chat.text import BLANKS
from services.inference_worker.chat.toolbox import Toolbox

_NAME = re.compile(r"[A-Za-z_][\w.\-]{0,255}")
_CALL = re.compile(rf"({_NAME.pattern})[ \t]{{0,16}}\(")
_CALL_SO_FAR = re.compile(rf"{_NAME.pattern}[ \t]{{0,16}}")
_KEYWORD = re.compile(rf"({_NAME.pattern})[ \t\r\n]{{0,64}}=(?!=)")
_KEYWORD_SO_FAR = re.compile(rf"{_NAME.pattern}[ \t\r\n]{{0,64}}=?")
_METHOD = ".call"


class _Mode(Enum):
    NAME = auto()
    ARGUMENT = auto()
    VALUE = auto()
    AFTER_VALUE = auto()


class PythonCallReader:
    """`tool.call(…)`, as Llama writes its built-in tools, calls `tool` unless the longer name is offered."""

    def __init__(self, format: Format, tools: Toolbox) -> None:
        self.state = ReaderState.OPEN
        self.begun = False
        self.started = False
        self.rest = ""
        self._tools = tools
        self._plain = format.trust is Trust.PLAIN
        self._mode = _Mode.NAME
        self._text = ""
        self._at = 0
        self._types: dict[str, frozenset[str]] = {}
        self._given: list[str] = []
        self._named = False  # from here on every argument needs a name
        self._value = PythonLiteral(None)
        self._pending: list[str] = []
        self._handlers = {
            _Mode.NAME: self._name,
            _Mode.ARGUMENT: self._argument,
            _Mode.VALUE: self._read_value,
            _Mode.AFTER_VALUE: self._after_value,
        }

    def feed(self, text: str) -> list[Step]:
        return self._advance(text, final=False)

    def finish(self, cut_off: bool) -> list[Step]:
        return self._advance("", final=True)

    def _advance(self, text: str, final: bool) -> list[Step]:
        self._text = self._text[self._at :] + text
        self._at = 0
        steps: list[Step] = []
        more = True
        while more and self.state is ReaderState.OPEN:
            if self._mode is not _Mode.VALUE:
                self._skip_blanks()
            more = self._at < len(self._text) and self._handlers[self._mode](steps, final)
        if self.state is not ReaderState.OPEN:
            self.rest, self._text, self._at = self._text[self._at :], "", 0
        self._send(steps)
        return steps

    # Each handler reads on from self._text[self._at] and tells whether there is more to do.

    def _name(self, steps: list[Step], final: bool) -> bool:
        match = _CALL.match(self._text, self._at)
        if match is None:
            return False if _CALL_SO_FAR.fullmatch(self._text, self._at) else self._refuse()
        name = self._tools.mend(match[1])
        if name.endswith(_METHOD) and not self._tools.offers(name):
            name = self._tools.mend(name[: -len(_METHOD)])
        if not name:
            return self._refuse()
        self._types = dict(self._tools.parameter_types(name))
        steps.append(Start(name))
        self.started = self.begun = True
        return self._take(match.end(), _Mode.ARGUMENT)

    def _argument(self, steps: list[Step], final: bool) -> bool:
        if self._text[self._at] == ")":
            self._end(steps)
            return False
        match = _KEYWORD.match(self._text, self._at)
        undecided = match is None or match.end() == len(self._text)  # the sign may be the first of two
        if undecided and not final and _KEYWORD_SO_FAR.fullmatch(self._text, self._at):
            return False
        if match is not None:
            self._named = True
            key = match[1]
        else:
            left = [] if self._named or self._plain else list(self._types)[len(self._given) :]
            if not left:
                return self._refuse()
            key = left[0]
        if key in self._given:
            return self._refuse()  # said twice: which one is meant would be a guess
        self._pending.append(("," if self._given else "{") + json.dumps(key, ensure_ascii=False) + ":")
        self._given.append(key)
        self._value = PythonLiteral(None if self._plain else self._types.get(key))
        return self._take(match.end() if match else self._at, _Mode.VALUE)

    def _read_value(self, steps: list[Step], final: bool) -> bool:
        self._at = self._value.read(self._text, self._at, final)
        if certain := self._value.take():
            self._pending.append(certain)
        if self._value.state is ScanState.COMPLETE:
            return self._take(self._at, _Mode.AFTER_VALUE)
        return False if self._value.state is ScanState.OPEN else self._refuse()

    def _after_value(self, steps: list[Step], final: bool) -> bool:
        if self._text[self._at] == ",":
            return self._take(self._at + 1, _Mode.ARGUMENT)
        if self._text[self._at] == ")":
            self._end(steps)
            return False
        return self._refuse()

    def _end(self, steps: list[Step]) -> None:
        self._at += 1
        self._pending.append("}" if self._given else "{}")
        self._send(steps)
        steps.append(End())
        self.state = ReaderState.DONE

    def _send(self, steps: list[Step]) -> None:
        fragment = "".join(self._pending)
        if fragment:
            steps.append(Arguments(fragment))
            self._pending = []

    def _skip_blanks(self) -> None:
        while self._at < len(self._text) and self._text[self._at] in BLANKS:
            self._at += 1

    def _take(self, at: int, mode: _Mode) -> bool:
        self._at = at
        self._mode = mode
        return True

    def _refuse(self) -> bool:
        self.state = ReaderState.BROKEN if self.started else ReaderState.FAILED
        return False

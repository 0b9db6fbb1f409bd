"""Reads a call that is one JSON object, such as `{"name": "bash", "arguments": {"command": "ls"}}`.

The arguments go out as they were written, for as long as they are strict JSON. Two characters wait: an
opening brace until something follows it, so that `{}` is one piece, and the closing one until the whole
object has ended. So nobody can take the arguments of an unfinished call for complete ones.
"""

from __future__ import annotations

import json
from enum import Enum, auto

from services.inference_worker.chat.formats import Format
from services.inference_worker.chat.json_scan import JsonScanner, ScanState
from services.inference_worker.chat.steps import Arguments, End, ReaderState, Start, Step
from services.inference_worker.chat.text import BLANKS
from services.inference_worker.chat.toolbox import Toolbox

_EMPTY = "{}"
_LONGEST_OPENING = 64  # characters of brace and blanks that wait for what follows


class _Mode(Enum):
    OBJECT = auto()
    FIRST_KEY = auto()
    KEY = auto()
    IN_KEY = auto()
    COLON = auto()
    VALUE = auto()
    IN_VALUE = auto()
    AFTER_VALUE = auto()


class _Role(Enum):
    NAME = auto()
    ARGUMENTS = auto()
    OTHER = auto()


class JsonCallReader:
    def __init__(self, format: Format, tools: Toolbox) -> None:
        self.state = ReaderState.OPEN
        self.begun = False
        self.started = False
        self.rest = ""
        self._format = format
        self._tools = tools
        self._mode = _Mode.OBJECT
        self._scanner = JsonScanner()
        self._role = _Role.OTHER
        self._seen: set[_Role] = set()
        self._buffer: list[str] = []  # the key, or a value that must be known whole
        self._direct = False  # the arguments are an object and go out as they come
        self._pending: list[str] = []  # arguments that may go out once the name is known
        self._opened = False  # something of the arguments beyond the opening brace is out
        self._last = ""  # what goes out together with the end

    def feed(self, text: str) -> list[Step]:
        steps: list[Step] = []
        at = 0
        while at < len(text) and self.state is ReaderState.OPEN:
            if self._mode is _Mode.IN_KEY or self._mode is _Mode.IN_VALUE:
                at = self._scan(text, at, steps)
            elif text[at] in BLANKS:
                at += 1
            else:
                at = self._structure(text[at], at, steps)
        self._send(steps)
        self.rest = text[at:]
        return steps

    def finish(self, cut_off: bool) -> list[Step]:
        return []

    def _structure(self, character: str, at: int, steps: list[Step]) -> int:
        match self._mode, character:
            case _Mode.OBJECT, "{":
                self.begun = True
                self._mode = _Mode.FIRST_KEY
            case ((_Mode.FIRST_KEY | _Mode.KEY), '"'):
                self._begin(_Mode.IN_KEY)
                return at
            case _Mode.COLON, ":":
                self._mode = _Mode.VALUE
            case _Mode.VALUE, _:
                return self._begin_value(character, at)
            case _Mode.AFTER_VALUE, ",":
                self._mode = _Mode.KEY
            case ((_Mode.FIRST_KEY | _Mode.AFTER_VALUE), "}"):
                self._end(steps)
            case _:
                self._refuse()
                return at
        return at + 1

    def _begin(self, mode: _Mode) -> None:
        self._mode = mode
        self._scanner = JsonScanner()
        self._buffer = []

    def _begin_value(self, character: str, at: int) -> int:
        if self._role is not _Role.OTHER and self._role in self._seen:
            self._refuse()  # said twice: which one is meant would be a guess
            return at
        self._seen.add(self._role)
        self._begin(_Mode.IN_VALUE)
        self._direct = self._role is _Role.ARGUMENTS and character == "{"
        allowed = {_Role.NAME: '"', _Role.ARGUMENTS: '{"n'}.get(self._role)
        if allowed is not None and character not in allowed:
            self._refuse()
        return at

    def _scan(self, text: str, at: int, steps: list[Step]) -> int:
        end = self._scanner.feed(text, at)
        piece = text[at:end]
        complete = self._scanner.state is ScanState.COMPLETE
        if self._direct and self._mode is _Mode.IN_VALUE:
            self._pending.append(piece[:-1] if complete else piece)
            self._last = "}" if complete else ""
        elif self._mode is _Mode.IN_KEY or self._role is not _Role.OTHER:
            self._buffer.append(piece)
        if complete:
            self._complete(steps)
        elif self._scanner.state is ScanState.INVALID:
            self._refuse()
        return end

    def _complete(self, steps: list[Step]) -> None:
        if self._mode is _Mode.IN_KEY:
            key = json.loads("".join(self._buffer))
            self._mode = _Mode.COLON
            if key in self._format.name_keys:
                self._role = _Role.NAME
            else:
                self._role = _Role.ARGUMENTS if key in self._format.arguments_keys else _Role.OTHER
            return
        self._mode = _Mode.AFTER_VALUE
        if self._role is _Role.NAME:
            self._name("".join(self._buffer), steps)
        elif self._role is _Role.ARGUMENTS and not self._direct:
            self._packed_arguments("".join(self._buffer))
        self._direct = False

    def _name(self, literal: str, steps: list[Step]) -> None:
        name = json.loads(literal).strip()
        if not name:
            self._refuse()
            return
        steps.append(Start(self._tools.mend(name)))
        self.started = True

    def _packed_arguments(self, literal: str) -> None:
        """Arguments as a JSON text inside a string, as OpenAI's API has them; null or blank means none."""
        value = json.loads(literal)
        text = (value or "").strip(BLANKS) or _EMPTY
        scanner = JsonScanner()
        if text[0] == "{" and scanner.feed(text) == len(text) and scanner.state is ScanState.COMPLETE:
            self._last = text
        else:
            self._refuse()

    def _send(self, steps: list[Step]) -> None:
        text = "".join(self._pending) if self.started else ""
        if not text:
            return
        if not self._opened and len(text) <= _LONGEST_OPENING and not text.strip("{" + BLANKS):
            self._pending = [text]
            return
        self._opened = True
        steps.append(Arguments(text))
        self._pending = []

    def _end(self, steps: list[Step]) -> None:
        if not self.started:
            self._refuse()
            return
        steps.append(Arguments("".join(self._pending) + (self._last or _EMPTY)))
        self._pending = []
        steps.append(End())
        self.state = ReaderState.DONE

    def _refuse(self) -> None:
        self.state = ReaderState.BROKEN if self.started else ReaderState.FAILED

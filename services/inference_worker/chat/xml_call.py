"""Reads a call whose name and parameters stand between markers, such as

    <function=bash>
    <parameter=command>
    ls
    </parameter>
    </function>

Values are raw text and may contain anything, markers included. A closing marker ends a value only where the
structure goes on behind it, and, for a value that began on a line of its own, only at the end of a line.
Exactly one newline on each side belongs to the markup.
"""

from __future__ import annotations

import json
import re
from enum import Enum, auto

from services.inference_worker.chat.formats import Format
from services.inference_worker.chat.steps import Arguments, End, ReaderState, Start, Step
from services.inference_worker.chat.text import BLANKS, may_become, partial_suffix
from services.inference_worker.chat.toolbox import Toolbox
from services.inference_worker.chat.values import ANY, STRING, escape, to_json, types_of

_LONGEST_NAME = 256
_LONGEST_BLANKS = 256  # that are looked through for what follows a closing marker
_END = ""  # stands for the end of the text where a token is expected
_TEXT, _JSON = "true", "false"  # what an attribute says of a value
_OTHER = "\0"  # stands for anything that is none of the tokens


class Mode(Enum):
    FUNCTION = auto()
    NAME = auto()
    PARAMETERS = auto()
    PARAMETER_NAME = auto()
    VALUE_HEAD = auto()
    VALUE = auto()


class XmlCallReader:
    """`sure`: an opener announced the call. Otherwise it counts from its first parameter or its closer."""

    def __init__(self, format: Format, tools: Toolbox, sure: bool) -> None:
        self.state = ReaderState.OPEN
        self.begun = False
        self.started = False
        self.rest = ""
        self._format = format
        self._tools = tools
        self._sure = sure
        self._mode = Mode.FUNCTION
        self._text = ""
        self._name = ""
        self._types: dict[str, frozenset[str]] = {}
        self._parameters: set[str] = set()
        self._on_lines = False  # the value began behind a newline
        self._kind = STRING
        self._streams = True  # a text, which goes out as it comes
        self._json = False  # the model says that the value is written in JSON
        self._value: list[str] = []  # of a value that does not stream
        self._closers = (format.parameter_close, format.function_close)
        self._closer = re.compile("|".join(re.escape(closer) for closer in self._closers))
        self._call_closers = tuple(tags.close for tags in format.calls if tags.close)
        self._ends = (*self._call_closers, *format.end_tokens)  # behind them nothing of the call can come
        self._structure = (
            format.parameter.open,
            format.function_close,
            *self._ends,
            *(tags.open for tags in format.calls if tags.open),
            format.function.open,
        )

    def feed(self, text: str) -> list[Step]:
        self._text += text
        steps: list[Step] = []
        self._advance(steps, final=False)
        return steps

    def finish(self, cut_off: bool) -> list[Step]:
        steps: list[Step] = []
        self._advance(steps, final=True)
        whole = self._mode is Mode.PARAMETERS and self._parameters and not self._text
        if self.state is ReaderState.OPEN and whole and not cut_off:
            self._end(steps)  # the model stopped behind a closed parameter and left out the closers
        return steps

    def _advance(self, steps: list[Step], final: bool) -> None:
        handlers = {
            Mode.FUNCTION: self._function,
            Mode.NAME: self._function_name,
            Mode.PARAMETERS: self._between,
            Mode.PARAMETER_NAME: self._parameter_name,
            Mode.VALUE_HEAD: self._value_head,
            Mode.VALUE: self._value_text,
        }
        while self.state is ReaderState.OPEN and handlers[self._mode](steps, final):
            pass
        if self.state is not ReaderState.OPEN:
            self.rest, self._text = self._text, ""

    # Each handler takes what it can from self._text and tells whether there is more to do.

    def _function(self, steps: list[Step], final: bool) -> bool:
        self._text = self._text.lstrip(BLANKS)
        opener = self._format.function.open
        if self._text.startswith(opener):
            self.begun = self._sure
            return self._take(len(opener), Mode.NAME)
        return self._wait_or_refuse(may_become(self._text, (opener,)))

    def _function_name(self, steps: list[Step], final: bool) -> bool:
        name = self._read_name(self._format.function.close)
        if name is None:
            return False
        self._name = self._tools.mend(name)
        self._types = dict(self._tools.parameter_types(self._name))
        self._mode = Mode.PARAMETERS
        if self._sure:
            self._start(steps)
        return True

    def _between(self, steps: list[Step], final: bool) -> bool:
        self._text = self._text.lstrip(BLANKS)
        token = next((t for t in self._structure if t and self._text.startswith(t)), None)
        if token is None:
            return self._wait_or_refuse(may_become(self._text, self._structure))
        if token == self._format.parameter.open:
            self._start(steps)
            return self._take(len(token), Mode.PARAMETER_NAME)
        if token == self._format.function_close:
            self._start(steps)
            self._text = self._text[len(token) :]
            self._end(steps)
        elif self._parameters or token in self._call_closers:
            self._start(steps)  # its own closer is missing, but the call is closed or something else begins
            self._end(steps)
        else:
            self._refuse()
        return False

    def _parameter_name(self, steps: list[Step], final: bool) -> bool:
        name = self._read_name(self._format.parameter.close)
        if name is None:
            return False
        attribute = ""
        if self._format.string_attribute:
            name, _, attribute = name.partition(self._format.string_attribute)
        if name in self._parameters:
            self._refuse()  # said twice: which one is meant would be a guess
            return False
        lead = "," if self._parameters else "{"
        self._parameters.add(name)
        self._kind = self._types.get(name, ANY if attribute == _JSON else STRING)
        if attribute == _TEXT and "string" in self._kind:
            self._kind = STRING
        self._json = attribute == _JSON
        self._streams = self._kind == STRING and not self._json
        steps.append(Arguments(f"{lead}{json.dumps(name, ensure_ascii=False)}:"))
        if self._streams:
            steps.append(Arguments('"'))
        self._mode = Mode.VALUE_HEAD
        return True

    def _value_head(self, steps: list[Step], final: bool) -> bool:
        if not self._text:
            return False
        self._on_lines = self._text[0] == "\n"
        return self._take(1 if self._on_lines else 0, Mode.VALUE)

    def _value_text(self, steps: list[Step], final: bool) -> bool:
        start = 0
        while closer := self._closer.search(self._text, start):
            newline = self._newline_before(closer.start())
            verdict = self._ends_value(closer, final)
            if verdict is not False:
                self._write(closer.start() - newline, steps)
            if verdict is None:
                return False
            if verdict:
                self._end_value(steps)
                marker = len(closer[0]) if closer[0] == self._format.parameter_close else 0
                return self._take(newline + marker, Mode.PARAMETERS)
            start = closer.end()
        end = len(self._text) - partial_suffix(self._text, self._closers)
        self._write(end - self._newline_before(end), steps)
        return False

    def _newline_before(self, at: int) -> int:
        """1 when a newline stands right before `at`, which then belongs to the markup; else 0."""
        return int(at > 0 and self._text[at - 1] == "\n")

    def _ends_value(self, closer: re.Match[str], final: bool) -> bool | None:
        """Whether this closing marker is meant as one; None: what follows must tell."""
        form = self._format
        misplaced = self._on_lines and not self._newline_before(closer.start())
        if closer[0] == form.function_close:
            # The parameter's own closer is missing: believed only where the call is closed too.
            if misplaced:
                return False
            following, _ = self._token(closer.end(), self._ends, final)
            return None if following is None else following in (*self._ends, _END)
        following, after = self._token(closer.end(), self._structure, final)
        if following is None:
            return None
        if following == _OTHER:
            return False
        if misplaced and "\n" not in self._text[closer.end() : after] and following != form.parameter.open:
            return self._ends_call(closer.end(), final)
        if following == form.function_close:
            # A parameter's closer behind a function's closer: a call that is quoted inside the value.
            following, _ = self._token(after, (form.parameter_close,), final)
            return None if following is None else following != form.parameter_close
        return True

    def _ends_call(self, at: int, final: bool) -> bool | None:
        """Whether the closers of the call follow, and behind them the end of a line, nothing, or a call."""
        form = self._format
        calls = (*(tags.open for tags in form.calls if tags.open), form.function.open)
        following, after = self._token(at, (form.function_close, *self._ends), final)
        if following == form.function_close:
            following, after = self._token(after, (*self._ends, *calls), final)
        if following in self._call_closers:
            if self._text[after : after + _LONGEST_BLANKS].lstrip(" \t\r").startswith("\n"):
                return True
            following, _ = self._token(after, (*form.end_tokens, *calls), final)
        return None if following is None else following in (*form.end_tokens, *calls, _END)

    def _token(self, at: int, tokens: tuple[str, ...], final: bool) -> tuple[str | None, int]:
        """The token that follows blanks at `at` and where it ends; _END for the end of the text (or a token
        that was cut), _OTHER when it is something else, None when more text must come first."""
        start = at
        while start < len(self._text) and self._text[start] in BLANKS:
            start += 1
        if start - at > _LONGEST_BLANKS:
            return _OTHER, start
        for token in tokens:
            if token and self._text.startswith(token, start):
                return token, start + len(token)
        if start == len(self._text) or may_become(self._text[start:], tokens):
            return (_END if final else None), len(self._text)
        return _OTHER, start

    def _write(self, end: int, steps: list[Step]) -> None:
        """Takes the first `end` characters as a part of the value."""
        piece, self._text = self._text[:end], self._text[end:]
        if not piece:
            return
        if self._streams:
            steps.append(Arguments(escape(piece)))
        else:
            self._value.append(piece)

    def _end_value(self, steps: list[Step]) -> None:
        if self._streams:
            steps.append(Arguments('"'))
            return
        raw, self._value = "".join(self._value), []
        if self._json and types_of(raw) & self._kind:
            steps.append(Arguments(raw.strip(BLANKS)))
        else:
            steps.append(Arguments(to_json(raw, self._kind)))

    def _read_name(self, closer: str) -> str | None:
        """The text up to `closer`, taken; None when it is not whole yet or is no name."""
        end = self._text.find(closer, 0, _LONGEST_NAME + len(closer))
        known = len(self._text) - partial_suffix(self._text, (closer,)) if end < 0 else end
        name = self._text[:known]
        bare = name.strip().strip("\"'")
        if len(name) > _LONGEST_NAME or "<" in name or "\n" in name or (end >= 0 and not bare):
            self._refuse()
            return None
        if end < 0:
            return None
        self._text = self._text[end + len(closer) :]
        return bare

    def _take(self, count: int, mode: Mode) -> bool:
        self._text = self._text[count:]
        self._mode = mode
        return True

    def _start(self, steps: list[Step]) -> None:
        if not self.started:
            self.started = self.begun = True
            steps.append(Start(self._name))

    def _end(self, steps: list[Step]) -> None:
        steps.append(Arguments("}" if self._parameters else "{}"))
        steps.append(End())
        self.state = ReaderState.DONE

    def _wait_or_refuse(self, wait: bool) -> bool:
        if self._text and not wait:
            self._refuse()
        return False

    def _refuse(self) -> None:
        self.state = ReaderState.BROKEN if self.started else ReaderState.FAILED

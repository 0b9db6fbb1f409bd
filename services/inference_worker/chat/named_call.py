"""Reads a call whose name stands before its arguments, which are one JSON object, such as

    bash[CALL_ID]x7[ARGS]{"command": "ls"}

behind its opener. Left out may be: the id, the marker that ends the name (where the object begins at once),
the markers around the arguments, and the arguments themselves where the call is closed without any.
"""

from __future__ import annotations

import re
from enum import Enum, auto

from services.inference_worker.chat.formats import Format
from services.inference_worker.chat.json_arguments import EMPTY, JsonArguments
from services.inference_worker.chat.json_scan import ScanState
from services.inference_worker.chat.steps import Arguments, End, ReaderState, Start, Step
from services.inference_worker.chat.text import BLANKS, may_become, partial_suffix
from services.inference_worker.chat.toolbox import Toolbox

_LONGEST_NAME = 256  # characters; of an id too
_NAME = re.compile(r"\w[\w.:/-]*")
_QUOTES = "\"'`"


class _Mode(Enum):
    OPENER = auto()
    NAME = auto()
    IDENTITY = auto()
    HEAD = auto()
    """Between name and arguments."""
    ARGUMENTS = auto()
    TAIL = auto()
    """Behind the arguments, which are whole: a marker of theirs may follow."""


class NamedCallReader:
    """`sure`: an opener announced the call. Otherwise it counts from its arguments or its closer, and so it
    does where the name ends at a single character, which is not enough to tell a call from prose."""

    def __init__(self, format: Format, tools: Toolbox, sure: bool) -> None:
        self.state = ReaderState.OPEN
        self.begun = False
        self.started = False
        self.rest = ""
        self._format = format
        self._tools = tools
        self._weak = not sure or not (format.function.open or len(format.function.close) > 1)
        self._mode = _Mode.OPENER
        self._text = ""
        self._name = ""
        self._named = False  # the marker behind the name has come
        self._arguments = JsonArguments()
        around = (format.arguments.open.strip(), format.arguments.close.strip())
        self._around = tuple(marker for marker in around if marker)
        ends = [closing.close for closing in (format.call, *format.section)]
        # Without a closer, a call without arguments is ended by the next one.
        ends += [format.function_close, "" if format.call.close else format.call.open]
        self._ends = tuple(end for end in ends if end)
        self._ends_by_marker = bool(self._weak or format.call.close)
        name_ends = [format.function.close]
        if format.function.open or len(format.function.close) > 1:
            name_ends += [format.identity.open, *self._around, *self._ends, "{"]
        self._name_ends = tuple(end for end in name_ends if end)
        self._name_end = re.compile("|".join(map(re.escape, self._name_ends)))

    def feed(self, text: str) -> list[Step]:
        self._text += text
        steps: list[Step] = []
        self._advance(steps)
        return steps

    def finish(self, cut_off: bool) -> list[Step]:
        steps: list[Step] = []
        if self._mode is _Mode.TAIL:
            self._text = ""  # blanks and, at most, the beginning of a marker
            self.state = ReaderState.DONE
        elif self._mode is _Mode.HEAD and self._named and not (self._text or cut_off or self._ends_by_marker):
            self._end_empty(steps)  # nothing but the end of the text closes such a call
        if self.state is not ReaderState.OPEN:
            self.rest, self._text = self._text, ""
        return steps

    def _advance(self, steps: list[Step]) -> None:
        handlers = {
            _Mode.OPENER: self._opener,
            _Mode.NAME: self._read_name,
            _Mode.IDENTITY: self._identity,
            _Mode.HEAD: self._head,
            _Mode.ARGUMENTS: self._read_arguments,
            _Mode.TAIL: self._tail,
        }
        while self.state is ReaderState.OPEN and handlers[self._mode](steps):
            pass
        if self.state is not ReaderState.OPEN:
            self.rest, self._text = self._text, ""

    # Each handler takes what it can from self._text and tells whether there is more to do.

    def _opener(self, steps: list[Step]) -> bool:
        self._text = self._text.lstrip(BLANKS)
        opener = self._format.function.open
        if self._text.startswith(opener):
            return self._take(len(opener), _Mode.NAME)
        return self._wait_or_refuse(may_become(self._text, (opener,)))

    def _read_name(self, steps: list[Step]) -> bool:
        self._text = self._text.lstrip(BLANKS)
        end = self._name_end.search(self._text, 0, 2 * _LONGEST_NAME)
        if end is None:
            known = len(self._text) - partial_suffix(self._text, self._name_ends)
            name = self._text[:known].rstrip(BLANKS).strip(_QUOTES)
            plausible = known <= _LONGEST_NAME and (not name or _NAME.fullmatch(name) is not None)
            self.begun = not self._weak and self._tools.offers(self._tools.mend(name))
            return self._wait_or_refuse(plausible)
        name = self._text[: end.start()].strip(BLANKS).strip(_QUOTES)
        if end.start() > _LONGEST_NAME or not _NAME.fullmatch(name):
            return self._refuse()
        self._name = self._tools.mend(name)
        if not self._tools.offers(self._name):
            self._name = self._tools.mend(name.removeprefix(self._format.name_prefix) or name)
        self._text = self._text[end.start() :]
        self._mode = _Mode.HEAD
        if not self._weak:
            self._start(steps)
        return True

    def _head(self, steps: list[Step]) -> bool:
        form = self._format
        if form.function.close and self._text.startswith(form.function.close):
            self._named = True  # before blanks go: it may be a blank itself
            return self._take(len(form.function.close), _Mode.HEAD)
        self._text = self._text.lstrip(BLANKS)
        markers = (form.function.close.strip(), form.identity.open, *self._around, *self._ends)
        if not self._text or may_become(self._text, markers):
            return False
        if form.identity.open and self._text.startswith(form.identity.open):
            return self._take(len(form.identity.open), _Mode.IDENTITY)
        for marker in (form.function.close.strip(), *self._around):
            if marker and self._text.startswith(marker):
                self._named = True
                return self._take(len(marker), _Mode.HEAD)
        if self._text.startswith(self._ends):
            self._end_empty(steps)
            return False
        if self._weak:
            following = self._text[1:].lstrip(BLANKS)[:1]
            if self._text[0] != "{" or following not in ("", '"', "}"):
                return self._refuse()
            if not following:
                return False
            self._start(steps)
        return self._take(0, _Mode.ARGUMENTS)

    def _identity(self, steps: list[Step]) -> bool:
        ends = (
            self._format.identity.close,
            *(end for end in self._name_ends if end != self._format.identity.open),
        )
        found = [at for end in ends if end and (at := self._text.find(end, 0, 2 * _LONGEST_NAME)) >= 0]
        if not found:
            known = len(self._text) - partial_suffix(self._text, ends)
            return self._wait_or_refuse(known <= _LONGEST_NAME)
        at = min(found)
        if at > _LONGEST_NAME:
            return self._refuse()
        closer = self._format.identity.close
        return self._take(at + (len(closer) if self._text.startswith(closer, at) else 0), _Mode.HEAD)

    def _read_arguments(self, steps: list[Step]) -> bool:
        at = self._arguments.feed(self._text, 0, steps)
        self._text = self._text[at:]
        if self._arguments.state is ScanState.INVALID:
            return self._refuse()
        if self._arguments.state is ScanState.OPEN:
            return False
        steps.append(End())
        self._mode = _Mode.TAIL
        return True

    def _tail(self, steps: list[Step]) -> bool:
        closer = self._format.arguments.close.strip()
        following = self._text.lstrip(BLANKS)
        if closer and (not following or may_become(following, (closer,))):
            return False
        if closer and following.startswith(closer):
            self._text = following[len(closer) :]
        self.state = ReaderState.DONE
        return False

    def _take(self, count: int, mode: _Mode) -> bool:
        self._text = self._text[count:]
        self._mode = mode
        return True

    def _start(self, steps: list[Step]) -> None:
        if not self.started:
            self.started = self.begun = True
            steps.append(Start(self._name))

    def _end_empty(self, steps: list[Step]) -> None:
        self._start(steps)
        steps += [Arguments(EMPTY), End()]
        self.state = ReaderState.DONE

    def _wait_or_refuse(self, wait: bool) -> bool:
        return False if wait or not self._text else self._refuse()

    def _refuse(self) -> bool:
        self.state = ReaderState.BROKEN if self.started else ReaderState.FAILED
        return False

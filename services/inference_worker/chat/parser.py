"""Splits an answer into prose and calls.

Held back is only what may still turn out to be markup: the beginning of a marker, the blanks before it, and a
call until its name is known. Blanks around calls belong to the markup.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Protocol

from services.inference_worker.chat import readers
from services.inference_worker.chat.formats import Format, ValueStyle
from services.inference_worker.chat.steps import CallReader, ReaderState, Start, Step, Text
from services.inference_worker.chat.text import BLANKS, Trailing, may_become, partial_suffix
from services.inference_worker.chat.toolbox import Toolbox


class Parser(Protocol):
    """`incomplete`: a call was begun and can no longer be completed."""

    incomplete: bool

    def feed(self, text: str) -> list[Step]: ...

    def finish(self, cut_off: bool) -> list[Step]: ...


class PlainParser:
    """For answers in which nothing is a call."""

    incomplete = False

    def feed(self, text: str) -> list[Step]:
        return [Text(text)] if text else []

    def finish(self, cut_off: bool) -> list[Step]:
        return []


class _Mode(Enum):
    PROSE = auto()
    CALL = auto()
    AFTER_CALL = auto()
    SKIP = auto()
    """Behind a call that broke, up to where something new begins."""


class CallParser:
    def __init__(self, format: Format, tools: Toolbox) -> None:
        self.incomplete = False
        self._format = format
        self._tools = tools
        self._mode = _Mode.PROSE
        self._text = ""
        self._blanks = Trailing(BLANKS)
        self._reader: CallReader | None = None
        self._raw: list[str] = []  # the opener and what the reader was fed, until it has started
        self._spoke = False
        self._called = False
        self._from_prose = True  # where the call that is being read was opened
        self._block_open = False  # a call's opener came and its closer did not
        self._openers = tuple(marker for marker in (format.call.open, format.function.open) if marker)
        self._closers = tuple(marker for marker in (format.call.close, format.function_close) if marker)
        self._opening = re.compile("|".join(map(re.escape, self._openers)))
        self._any_marker = re.compile("|".join(map(re.escape, (*self._openers, *self._closers))))

    def feed(self, text: str) -> list[Step]:
        self._text += text
        steps: list[Step] = []
        self._advance(steps, final=False, cut_off=False)
        return steps

    def finish(self, cut_off: bool) -> list[Step]:
        steps: list[Step] = []
        self._advance(steps, final=True, cut_off=cut_off)
        left = self._blanks.release()
        if left and (self._mode is _Mode.PROSE) and (self._spoke or not self._called):
            steps.append(Text(left))
        return steps

    def _advance(self, steps: list[Step], final: bool, cut_off: bool) -> None:
        more = True
        while more:
            match self._mode:
                case _Mode.PROSE:
                    more = self._prose(steps, final)
                case _Mode.CALL:
                    more = self._call(steps, final, cut_off)
                case _Mode.AFTER_CALL:
                    more = self._after_call(final)
                case _Mode.SKIP:
                    more = self._skip()

    # Each handler takes what it can from self._text and tells whether there is more to do.

    def _prose(self, steps: list[Step], final: bool) -> bool:
        pattern, markers = self._opening, self._openers
        if self._block_open:
            pattern, markers = self._any_marker, (*self._openers, *self._closers)
        marker = pattern.search(self._text)
        if marker is None:
            kept = 0 if final else partial_suffix(self._text, markers)
            end = len(self._text) - kept
            self._say(self._text[:end], steps)
            self._text = self._text[end:]
            return False
        self._say(self._text[: marker.start()], steps)
        self._text = self._text[marker.end() :]
        if marker[0] in self._closers:
            self._block_open = marker[0] != self._format.call.close
        else:
            self._open(marker[0])
        return True

    def _open(self, opener: str) -> None:
        """Begins to read a call behind `opener`; a function's own opener is read by the reader."""
        self._from_prose = self._mode is _Mode.PROSE
        self._mode = _Mode.CALL
        self._raw = []
        announced = opener == self._format.call.open
        if announced:
            self._raw.append(opener)
        else:
            self._text = opener + self._text
        in_block = self._block_open and not self._from_prose
        self._reader = readers.reader(self._format, self._tools, announced or in_block)

    def _call(self, steps: list[Step], final: bool, cut_off: bool) -> bool:
        reader = self._reader
        assert reader is not None
        text, self._text = self._text, ""
        told = reader.feed(text)
        if final and reader.state is ReaderState.OPEN:
            told += reader.finish(cut_off)
        if not reader.started:
            self._raw.append(text)
        elif any(isinstance(step, Start) for step in told):
            self._raw = []
            self._blanks.release()
            self._called = self._block_open = True
        steps += told
        if reader.state is ReaderState.OPEN:
            if final:
                self._unfinished(reader, steps, cut_off)
            return False
        self._text = reader.rest
        if reader.state is ReaderState.DONE:
            self._mode = _Mode.AFTER_CALL
        elif reader.state is ReaderState.BROKEN:
            self.incomplete = True
            self._mode = _Mode.SKIP
        else:
            raw = "".join(self._raw)
            self._mode = _Mode.PROSE
            self._say(raw[: len(raw) - len(reader.rest)], steps)
        return True

    def _unfinished(self, reader: CallReader, steps: list[Step], cut_off: bool) -> None:
        """The text has ended inside a call, or behind what only looked like an opener."""
        if reader.started or reader.begun or cut_off:
            self.incomplete = True
        elif self._from_prose:
            self._mode = _Mode.PROSE
            self._say("".join(self._raw), steps)

    def _after_call(self, final: bool) -> bool:
        blanks = BLANKS
        if self._block_open and self._format.style is ValueStyle.JSON_OBJECT:
            blanks += "}]"  # braces that were closed once too often
        rest = self._text.lstrip(blanks)
        self._blanks.hold(self._text[: len(self._text) - len(rest)])
        self._text = rest
        if not rest:
            return False
        starters = self._openers
        if self._block_open and self._format.style is ValueStyle.JSON_OBJECT:
            starters = (*starters, "{")
        for closer in self._closers:
            if rest.startswith(closer):
                self._text = rest[len(closer) :]
                self._blanks.release()
                self._block_open = self._block_open and closer != self._format.call.close
                return True
        for starter in starters:
            if rest.startswith(starter):
                self._text = rest[len(starter) :]
                self._open(starter)
                return True
        if may_become(rest, (*starters, *self._closers)):
            return False
        if not self._spoke:
            self._blanks.release()
        self._mode = _Mode.PROSE
        return True

    def _skip(self) -> bool:
        marker = self._any_marker.search(self._text)
        if marker is None:
            kept = partial_suffix(self._text, (*self._openers, *self._closers))
            self._text = self._text[len(self._text) - kept :]
            return False
        self._text = self._text[marker.start() :]
        self._mode = _Mode.AFTER_CALL
        return True

    def _say(self, text: str, steps: list[Step]) -> None:
        if out := self._blanks.push(text):
            self._spoke = True
            steps.append(Text(out))

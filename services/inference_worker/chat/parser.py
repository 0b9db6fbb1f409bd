"""Splits an answer into prose and calls.

Held back is only what may still turn out to be markup: the beginning of a marker, the blanks before it, and a
call until its name is known; where the markup may be ordinary text, until the call is whole and fits. Blanks
around calls belong to the markup.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum, auto
from typing import Protocol

from services.inference_worker.chat import readers
from services.inference_worker.chat.formats import Format, Tags
from services.inference_worker.chat.markers import Opener, markers_of
from services.inference_worker.chat.steps import CallReader, ReaderState, Start, Step, Text
from services.inference_worker.chat.text import BLANKS, Sieve, Trailing, any_of, may_become, partial_suffix
from services.inference_worker.chat.toolbox import Toolbox

_ENDING_BRACES = "}]"


class Parser(Protocol):
    """`incomplete`: a call was begun and can no longer be completed."""

    incomplete: bool

    def feed(self, text: str) -> list[Step]: ...

    def finish(self, cut_off: bool) -> list[Step]: ...


class PlainParser:
    """For answers in which nothing is a call; only end tokens are no part of them."""

    incomplete = False

    def __init__(self, end_tokens: tuple[str, ...] = ()) -> None:
        self._sieve = Sieve(end_tokens)

    def feed(self, text: str) -> list[Step]:
        out = self._sieve.push(text)
        return [Text(out)] if out else []

    def finish(self, cut_off: bool) -> list[Step]:
        left = self._sieve.release()
        return [Text(left)] if left else []


class _Mode(Enum):
    PROSE = auto()
    SECTION = auto()
    """Behind the opener of a section, before its first call."""
    CALL = auto()
    AFTER_CALL = auto()
    SKIP = auto()
    """Behind a call that broke, up to where something new begins."""


class CallParser:
    """`draft`: all that is no call comes out as it came in, noise too."""

    def __init__(self, format: Format, tools: Toolbox, draft: bool = False) -> None:
        self.incomplete = False
        self._format = format
        self._tools = tools
        self._draft = draft
        self._mode = _Mode.PROSE
        self._text = ""
        self._blanks = Trailing(BLANKS)
        self._reader: CallReader | None = None
        self._opener = Opener("", Tags("", ""))
        self._raw: list[str] = []  # the openers and what the reader was fed, until it has started
        self._spoke = False
        self._called = False
        self._from_prose = True  # where the call that is being read was opened
        self._block: Opener | None = None  # the opener of a call that has begun and was not closed
        self._in_section = False
        self._via_section = False  # the call that is being read stands behind the opener of a section
        self._fenced = False  # prose inside a fence that holds no calls
        self._in_line = False  # something stands before this on its line
        self._separated = False  # a separator came behind the last call
        self._markers = markers_of(format)
        self._openers = self._markers.openers
        self._explicit = tuple(text for text, opener in self._openers.items() if not opener.plain)
        self._noise = () if draft else (*format.noise, *format.end_tokens)

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
                case _Mode.SECTION:
                    more = self._section(steps, final, cut_off)
                case _Mode.CALL:
                    more = self._call(steps, final, cut_off)
                case _Mode.AFTER_CALL:
                    more = self._after_call(steps, final)
                case _Mode.SKIP:
                    more = self._skip()

    # Each handler takes what it can from self._text and tells whether there is more to do.

    def _prose(self, steps: list[Step], final: bool) -> bool:
        wanted = (*self._openers, *self._noise, *self._closers())
        marker = any_of(wanted).search(self._text)
        open_end = len(self._text) - (0 if final else partial_suffix(self._text, wanted))
        if marker is None or open_end <= marker.start():
            # What may begin a marker may become a longer one, or one that begins earlier.
            self._say(self._text[:open_end], steps)
            self._text = self._text[open_end:]
            return False
        self._say(self._text[: marker.start()], steps)
        self._text = self._text[marker.end() :]
        if marker[0] in self._noise or self._close(marker[0]):
            return True
        opener = self._openers[marker[0]]
        if self._fenced and opener.plain and (not opener.fence or opener.text == opener.tags.close):
            self._fenced = not opener.fence
            self._say(marker[0], steps)
        elif self._in_line and opener.on_line:
            self._say(marker[0], steps)
        else:
            self._open(opener)
        return True

    def _section(self, steps: list[Step], final: bool, cut_off: bool) -> bool:
        rest = self._text.lstrip(BLANKS)
        self._raw.append(self._text[: len(self._text) - len(rest)])
        self._text = rest
        calls = self._explicit
        if opener := any_of(calls).match(rest):
            self._text = rest[opener.end() :]
            self._open(self._openers[opener[0]])
            return True
        if noise := any_of(self._noise).match(rest):
            self._text = rest[noise.end() :]
            return True
        if rest and not may_become(rest, (*calls, *self._noise)):
            self._mode = _Mode.PROSE
            self._say("".join(self._raw), steps)
            return True
        if final:
            self._raw.append(rest)
            self._unfinished(cut_off, cut_off, steps)
        return False

    def _open(self, opener: Opener) -> None:
        """Begins to read a call, or a section, behind its opener."""
        if self._mode is not _Mode.SECTION:
            self._from_prose = self._mode is _Mode.PROSE
            self._via_section = False
            self._raw = []
        if opener.announces:
            self._raw.append(opener.text)
        else:
            self._text = opener.text + self._text
        if opener.section:
            self._via_section = True
            self._mode = _Mode.SECTION
            return
        self._opener = opener
        self._mode = _Mode.CALL
        in_block = self._via_section or (self._block is not None and not self._from_prose)
        self._reader = readers.reader(self._format, self._tools, opener.announces or in_block, opener.plain)

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
            self._begin_block()
        steps += told
        if reader.state is ReaderState.OPEN:
            if final:
                self._unfinished(reader.started, reader.begun or cut_off, steps)
            return False
        self._text = reader.rest
        if reader.state is ReaderState.DONE and (reader.started or not self._draft):
            self._begin_block()  # also of an empty list, which says that nothing is called
            self._mode = _Mode.AFTER_CALL
        elif reader.state is ReaderState.BROKEN:
            self.incomplete = True
            self._mode = _Mode.SKIP
        else:
            raw = "".join(self._raw)
            self._mode = _Mode.PROSE
            self._fenced = self._fenced or (self._opener.fence and self._opener.announces)
            # The opener is text by now, also where the reader gave all of it back.
            taken = max(len(raw) - len(reader.rest), len(self._opener.text))
            self._say(raw[:taken], steps)
            self._text = raw[taken:]
        return True

    def _begin_block(self) -> None:
        self._raw = []
        self._blanks.release()
        self._called = True
        self._separated = self._in_line = self._fenced = False
        self._in_section = self._in_section or self._via_section
        if self._block is None or self._opener.announces:
            self._block = self._opener

    def _unfinished(self, started: bool, begun: bool, steps: list[Step]) -> None:
        """The text has ended inside a call, or behind what only looked like an opener."""
        plain = self._mode is _Mode.CALL and self._opener.plain
        if started or (begun and not plain):
            self.incomplete = True
        elif self._from_prose or plain:
            self._mode = _Mode.PROSE
            self._say("".join(self._raw), steps)

    def _after_call(self, steps: list[Step], final: bool) -> bool:
        beginnings = self._markers.beginnings if self._block else ()
        rest = self._text.lstrip(BLANKS + (_ENDING_BRACES if beginnings else ""))
        self._blanks.hold(self._text[: len(self._text) - len(rest)])
        self._text = rest
        if not rest:
            return False
        separators = self._markers.separators
        wanted = (*self._openers, *beginnings, *self._noise, *self._closers(doubled=True))
        marker = any_of(wanted).match(rest)
        if may_become(rest, (*wanted, *separators)) and not (final and marker):
            return False
        if marker is not None:
            self._text = rest[marker.end() :]
            self._take(marker[0])
        elif not self._separated and (separator := any_of(separators).match(rest)):
            self._separated = True
            self._blanks.hold(separator[0])
            self._text = rest[separator.end() :]
        else:
            if not self._spoke:
                blanks = self._blanks.release()
                if self._separated:
                    self._blanks.hold(blanks.lstrip(BLANKS))  # it was no separator, but prose
            self._separated = False
            self._mode = _Mode.PROSE
        return True

    def _take(self, marker: str) -> None:
        """A marker right behind a call."""
        if marker in self._noise:
            return
        if self._close(marker):
            self._blanks.release()
        elif self._block is not None and marker in self._markers.beginnings:
            self._open(replace(self._block, text=marker, announces=False))
        else:
            self._open(self._openers[marker])

    def _closers(self, doubled: bool = False) -> tuple[str, ...]:
        """Closers of what is open; or, `doubled`, closers that may have been written once too often too."""
        own = (self._block.tags.close,) if self._block and self._block.tags.close else ()
        return (*own, *self._markers.closers) if doubled or self._block or self._in_section else ()

    def _close(self, marker: str) -> bool:
        """Whether this is a closer; what it closes is closed."""
        own = self._block is not None and marker == self._block.tags.close
        if own or marker in self._markers.call_closers:
            self._block = None
        elif marker in self._markers.section_closers:
            self._block = None
            self._in_section = False
        return own or marker in self._markers.closers

    def _skip(self) -> bool:
        wanted = (*self._explicit, *self._closers(doubled=True))
        marker = any_of(wanted).search(self._text)
        open_end = len(self._text) - partial_suffix(self._text, wanted)
        if marker is None or open_end <= marker.start():
            self._text = self._text[open_end:]
            return False
        self._text = self._text[marker.start() :]
        self._mode = _Mode.AFTER_CALL
        return True

    def _say(self, text: str, steps: list[Step]) -> None:
        if last := text.rstrip(" \t")[-1:]:
            self._in_line = last not in "\r\n"
        if out := self._blanks.push(text):
            self._spoke = True
            steps.append(Text(out))

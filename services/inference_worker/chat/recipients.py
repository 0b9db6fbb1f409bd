"""Answers whose parts begin with `>>>` and a recipient on a line of its own, as Functionary 3.2 writes them:

    >>>all
    I list the files.>>>bash
    {"command": "ls"}

What goes to `all` is content. What goes to another recipient is a call, if it is a JSON object; else text.
"""

from __future__ import annotations

import re
from enum import Enum, auto

from services.inference_worker.chat.formats import Format
from services.inference_worker.chat.message_call import MessageCall
from services.inference_worker.chat.steps import ReaderState, Step, Text
from services.inference_worker.chat.text import BLANKS, Trailing, may_become, partial_suffix
from services.inference_worker.chat.toolbox import Toolbox

_EVERYBODY = "all"
_LONGEST = 128
_LINE = re.compile(r"([A-Za-z_][\w.\-]{0,127})[ \t]{0,8}\r?\n")
_LINE_SO_FAR = re.compile(r"(?:[A-Za-z_][\w.\-]{0,127}[ \t]{0,8}\r?)?")


class _Mode(Enum):
    HEADER = auto()
    TEXT = auto()
    CALL = auto()
    BETWEEN = auto()
    SKIP = auto()
    """The rest of a call that broke."""


class RecipientRouter:
    def __init__(self, format: Format, tools: Toolbox, prompt_tail: str) -> None:
        self.incomplete = False
        self._tools = tools
        self._opener = format.call.open
        self._markers = (self._opener, *dict.fromkeys((*format.end_tokens, *format.noise)))
        self._pattern = re.compile("|".join(map(re.escape, self._markers)))
        self._text = ""
        self._header = ""  # the header as it was read, while its message may still be text
        self._call = MessageCall("")
        self._blanks = Trailing(BLANKS)
        self._spoke = False
        self._called = False
        opened = prompt_tail.rstrip().endswith(self._opener)
        self._mode = _Mode.HEADER if opened else _Mode.TEXT
        self._handlers = {
            _Mode.HEADER: self._read_header,
            _Mode.TEXT: self._prose,
            _Mode.CALL: self._arguments,
            _Mode.BETWEEN: self._between,
            _Mode.SKIP: self._skip,
        }

    @property
    def reasoning_open(self) -> bool:
        return False

    def feed(self, text: str) -> list[Step]:
        self._text += text
        return self._advance(final=False, cut_off=False)

    def finish(self, cut_off: bool) -> list[Step]:
        steps = self._advance(final=True, cut_off=cut_off)
        if self._mode is _Mode.CALL:
            self.incomplete = True
        left = self._blanks.release()
        if left and self._mode is _Mode.TEXT and (self._spoke or not self._called):
            steps.append(Text(left))
        return steps

    def _advance(self, final: bool, cut_off: bool) -> list[Step]:
        steps: list[Step] = []
        while self._text and self._handlers[self._mode](steps, final, cut_off):
            pass
        return steps

    # Each handler takes what it can from self._text and tells whether there is more to do.

    def _read_header(self, steps: list[Step], final: bool, cut_off: bool) -> bool:
        line = _LINE.match(self._text)
        if line is None:
            if _LINE_SO_FAR.fullmatch(self._text):
                if not final:
                    return False
                if cut_off or self._known(self._text.strip(BLANKS)):
                    self.incomplete = True  # cut off within a header, which is markup
                    self._text = ""
                    return False
            return self._no_header(steps)
        self._header += line[0]
        if line[1] == _EVERYBODY:
            self._text = self._text[line.end() :]
            self._header = ""
            self._mode = _Mode.TEXT
            return True
        if not self._tools:
            self._text = self._text[line.end() :]
            return self._no_header(steps)
        self._text = self._text[line.end() :]
        self._call = MessageCall(self._tools.mend(line[1]))
        self._mode = _Mode.CALL
        return True

    def _known(self, name: str) -> bool:
        return name == _EVERYBODY or self._tools.offers(self._tools.mend(name))

    def _no_header(self, steps: list[Step]) -> bool:
        """What looked like a header is text."""
        self._say(self._header, steps)
        self._header = ""
        self._mode = _Mode.TEXT
        return True

    def _prose(self, steps: list[Step], final: bool, cut_off: bool) -> bool:
        marker = self._pattern.search(self._text)
        end = marker.start() if marker else len(self._text)
        if marker is None and not final:
            end -= partial_suffix(self._text, self._markers)
        self._say(self._text[:end], steps)
        self._text = self._text[end:]
        if marker is None:
            return False
        self._text = self._text[len(marker[0]) :]
        if marker[0] == self._opener:
            self._header = marker[0]
            self._mode = _Mode.HEADER
            if final and not self._text:
                self._no_header(steps)
        return True

    def _arguments(self, steps: list[Step], final: bool, cut_off: bool) -> bool:
        call = self._call
        told = call.feed(self._text)
        if told and not self._called:
            self._called = True
        if told:
            self._blanks.release()
        steps += told
        self._text = call.rest
        match call.state:
            case ReaderState.OPEN:
                return False
            case ReaderState.DONE:
                self._header = ""
                self._mode = _Mode.BETWEEN
            case ReaderState.BROKEN:
                self.incomplete = True
                self._mode = _Mode.SKIP
            case ReaderState.FAILED:
                self._header += call.raw
                self._no_header(steps)
        return True

    def _between(self, steps: list[Step], final: bool, cut_off: bool) -> bool:
        """Behind a call, where blanks are markup."""
        text = self._text.lstrip(BLANKS)
        for marker in self._markers[1:]:
            if text.startswith(marker):
                self._text = text[len(marker) :]
                return True
        if not text or (may_become(text, self._markers) and not final):
            return False
        self._blanks.hold(self._text[: len(self._text) - len(text)])
        if not self._spoke:
            self._blanks.release()
        self._text = text
        self._mode = _Mode.TEXT
        return True

    def _skip(self, steps: list[Step], final: bool, cut_off: bool) -> bool:
        marker = self._pattern.search(self._text)
        end = marker.start() if marker else len(self._text) - partial_suffix(self._text, self._markers)
        self._text = self._text[end:]
        if marker is not None:
            self._mode = _Mode.TEXT
        return marker is not None

    def _say(self, text: str, steps: list[Step]) -> None:
        if out := self._blanks.push(text):
            self._spoke = True
            steps.append(Text(out))

"""Reads a call in plain lines,

    TOOL: bash
    ARGUMENTS: {"command": "ls"}

behind its first word. Such lines may be prose, so nothing is told of a call before it is whole.
"""

from __future__ import annotations

import re
from enum import Enum, auto

from services.inference_worker.chat.formats import Format
from services.inference_worker.chat.json_arguments import JsonArguments
from services.inference_worker.chat.json_scan import ScanState
from services.inference_worker.chat.steps import End, ReaderState, Start, Step
from services.inference_worker.chat.text import BLANKS, may_become
from services.inference_worker.chat.toolbox import Toolbox

_LONGEST_NAME = 256
_NAME = re.compile(r"[ \t]*[\"'`]?(\w[\w.:/-]*)[\"'`]?[ \t]*\r?")


class _Mode(Enum):
    NAME = auto()
    WORD = auto()
    ARGUMENTS = auto()


class LineCallReader:
    """Its steps come all at once, with the end of the call; whatever is no call FAILED before that."""

    def __init__(self, format: Format, tools: Toolbox) -> None:
        self.state = ReaderState.OPEN
        self.begun = False
        self.started = False
        self.rest = ""
        self._word = format.arguments.open
        self._tools = tools
        self._mode = _Mode.NAME
        self._text = ""
        self._name = ""
        self._arguments = JsonArguments()
        self._steps: list[Step] = []

    def feed(self, text: str) -> list[Step]:
        self._text += text
        handlers = {_Mode.NAME: self._read_name, _Mode.WORD: self._read_word}
        while self.state is ReaderState.OPEN and self._mode in handlers and handlers[self._mode]():
            pass
        if self.state is ReaderState.OPEN and self._mode is _Mode.ARGUMENTS:
            self._read_arguments()
        if self.state is ReaderState.OPEN:
            return []
        self.rest, self._text = self._text, ""
        return self._steps if self.state is ReaderState.DONE else []

    def finish(self, cut_off: bool) -> list[Step]:
        return []

    # Handlers tell whether there is more to do.

    def _read_name(self) -> bool:
        end = self._text.find("\n", 0, _LONGEST_NAME)
        if end < 0:
            return self._wait_or_refuse(len(self._text) < _LONGEST_NAME)
        name = _NAME.fullmatch(self._text, 0, end)
        if name is None:
            return self._wait_or_refuse(False)
        self._name = self._tools.mend(name[1])
        self._text = self._text[end + 1 :]
        self._mode = _Mode.WORD
        return True

    def _read_word(self) -> bool:
        following = self._text.lstrip(BLANKS)
        if following.startswith(self._word):
            self.begun = True
            self._text = following[len(self._word) :]
            self._mode = _Mode.ARGUMENTS
            return True
        return self._wait_or_refuse(not following or may_become(following, (self._word,)))

    def _read_arguments(self) -> None:
        at = self._arguments.feed(self._text, 0, self._steps)
        self._text = self._text[at:]
        if self._arguments.state is ScanState.COMPLETE:
            self._steps = [Start(self._name), *self._steps, End()]
            self.started = True
            self.state = ReaderState.DONE
        elif self._arguments.state is ScanState.INVALID:
            self.state = ReaderState.FAILED

    def _wait_or_refuse(self, wait: bool) -> bool:
        if not wait:
            self.state = ReaderState.FAILED
        return False

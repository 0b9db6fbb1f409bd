"""Reads a message that is the arguments of a call, its recipient known from the message's header."""

from __future__ import annotations

from services.inference_worker.chat.json_arguments import JsonArguments
from services.inference_worker.chat.json_scan import ScanState
from services.inference_worker.chat.steps import End, ReaderState, Start, Step
from services.inference_worker.chat.text import BLANKS


class MessageCall:
    """A call to `name`. The call starts with the first of its arguments that are certain.

    `blank`: nothing but blanks was read. `state` becomes FAILED where the message is no JSON object; `raw` is
    then what was read, which is text, and `rest` what was not.
    """

    def __init__(self, name: str) -> None:
        self.state = ReaderState.OPEN
        self.started = False
        self.rest = ""
        self.blank = True
        self._name = name
        self._raw: list[str] = []
        self._arguments = JsonArguments()

    @property
    def raw(self) -> str:
        return "".join(self._raw)

    def feed(self, text: str) -> list[Step]:
        told: list[Step] = []
        end = self._arguments.feed(text, 0, told)
        self.rest = text[end:]
        self.blank = self.blank and not text[:end].strip(BLANKS)
        if not self.started:
            self._raw.append(text[:end])
        return self._told(told)

    def close(self) -> list[Step]:
        """The message was closed by its marker; nothing in it means that there are no arguments."""
        if not self.blank:
            self.state = ReaderState.BROKEN if self.started else ReaderState.FAILED
            return []
        return self._told([]) if self.state is not ReaderState.OPEN else self.feed("{}")

    def _told(self, told: list[Step]) -> list[Step]:
        steps: list[Step] = []
        if told and not self.started:
            steps.append(Start(self._name))
            self.started = True
            self._raw = []
        steps += told
        if self._arguments.state is ScanState.COMPLETE:
            steps.append(End())
            self.state = ReaderState.DONE
        elif self._arguments.state is ScanState.INVALID:
            self.state = ReaderState.BROKEN if self.started else ReaderState.FAILED
        return steps

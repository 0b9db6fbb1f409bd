"""Reads calls that stand in a list, `[call, call]`, or one call alone in the list's place."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

from services.inference_worker.chat.steps import CallReader, ReaderState, Step
from services.inference_worker.chat.text import BLANKS


class _Mode(Enum):
    HEAD = auto()
    FIRST = auto()
    CALL = auto()
    AFTER_CALL = auto()
    AFTER_COMMA = auto()


class ListReader:
    """`element` makes a reader for each call. An empty list is DONE without having started."""

    def __init__(self, element: Callable[[], CallReader]) -> None:
        self.state = ReaderState.OPEN
        self.started = False
        self.rest = ""
        self._element = element
        self._reader: CallReader | None = None
        self._mode = _Mode.HEAD
        self._bracket = False

    @property
    def begun(self) -> bool:
        return self.started or (self._reader is not None and self._reader.begun)

    def feed(self, text: str) -> list[Step]:
        steps: list[Step] = []
        while self.state is ReaderState.OPEN:
            if self._mode is _Mode.CALL:
                if not text:
                    return steps
                text = self._call(text, steps)
                continue
            text = text.lstrip(BLANKS)
            if not text:
                return steps
            text = self._structure(text)
        self.rest = text
        return steps

    def finish(self, cut_off: bool) -> list[Step]:
        steps: list[Step] = []
        if self._mode is _Mode.CALL and self._reader is not None:
            steps += self._reader.finish(cut_off)
            self._follow(self._reader)
        if self.started and self._mode in (_Mode.AFTER_CALL, _Mode.AFTER_COMMA):
            self.state = ReaderState.DONE  # every call of it is whole, only the bracket is missing
        return steps

    def _structure(self, text: str) -> str:
        match self._mode, text[0]:
            case _Mode.HEAD, "[":
                self._bracket = True
                self._mode = _Mode.FIRST
            case _Mode.AFTER_CALL, ",":
                self._mode = _Mode.AFTER_COMMA
            case ((_Mode.FIRST | _Mode.AFTER_CALL | _Mode.AFTER_COMMA), "]"):
                self.state = ReaderState.DONE
            case _Mode.AFTER_CALL, _:
                self.state = ReaderState.DONE  # the bracket was left out
                return text
            case _:
                self._reader = self._element()
                self._mode = _Mode.CALL
                return text
        return text[1:]

    def _call(self, text: str, steps: list[Step]) -> str:
        reader = self._reader
        assert reader is not None
        steps += reader.feed(text)
        self._follow(reader)
        return "" if reader.state is ReaderState.OPEN else reader.rest

    def _follow(self, reader: CallReader) -> None:
        self.started = self.started or reader.started
        if reader.state is ReaderState.DONE:
            self._mode = _Mode.AFTER_CALL
            if not self._bracket:
                self.state = ReaderState.DONE
        elif reader.state is not ReaderState.OPEN:
            self.state = ReaderState.BROKEN if self.started else ReaderState.FAILED

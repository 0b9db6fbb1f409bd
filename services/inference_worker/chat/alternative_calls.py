"""Reads a call that may be written in one of several styles: the first that does not refuse it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from services.inference_worker.chat.steps import CallReader, ReaderState, Step


class AlternativeReader:
    """`makers`: a reader for each style, in the order in which they are tried."""

    def __init__(self, makers: Sequence[Callable[[], CallReader]]) -> None:
        self._left = list(makers[1:])
        self._reader = makers[0]()
        self._raw: list[str] = []
        self._read = 0  # how far any of those that failed has come

    @property
    def state(self) -> ReaderState:
        return self._reader.state

    @property
    def begun(self) -> bool:
        return self._reader.begun

    @property
    def started(self) -> bool:
        return self._reader.started

    @property
    def rest(self) -> str:
        if self.state is not ReaderState.FAILED:
            return self._reader.rest
        return "".join(self._raw)[self._furthest() :]  # what any of them has read is read

    def feed(self, text: str) -> list[Step]:
        if not self._reader.started:
            self._raw.append(text)
        return self._or_next(self._reader.feed(text))

    def finish(self, cut_off: bool) -> list[Step]:
        steps = self._or_next(self._reader.finish(cut_off))
        return steps if steps or self.state is not ReaderState.OPEN else self._reader.finish(cut_off)

    def _or_next(self, steps: list[Step]) -> list[Step]:
        while self._reader.state is ReaderState.FAILED and self._left:
            self._read = self._furthest()
            self._reader = self._left.pop(0)()
            steps = self._reader.feed("".join(self._raw))
        return steps

    def _furthest(self) -> int:
        return max(self._read, sum(map(len, self._raw)) - len(self._reader.rest))

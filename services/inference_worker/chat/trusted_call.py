"""Reads what may be a call or prose: it is a call once it is whole and fits a tool that was offered."""

from __future__ import annotations

from services.inference_worker.chat.steps import Arguments, CallReader, End, ReaderState, Start, Step
from services.inference_worker.chat.toolbox import Toolbox


class TrustedReader:
    """Holds back all that `reader` tells until it can be judged; what does not fit has FAILED."""

    begun = False  # whatever was read may still be prose

    def __init__(self, reader: CallReader, tools: Toolbox) -> None:
        self.state = ReaderState.OPEN
        self.started = False
        self.rest = ""
        self._reader = reader
        self._tools = tools
        self._steps: list[Step] = []

    def feed(self, text: str) -> list[Step]:
        self._steps += self._reader.feed(text)
        return self._judge()

    def finish(self, cut_off: bool) -> list[Step]:
        self._steps += self._reader.finish(cut_off)
        told = self._judge()
        if self.state is not ReaderState.OPEN:
            return told
        # Whole calls of a list that was not finished are calls; without any it is prose.
        ends = [i for i, step in enumerate(self._steps) if isinstance(step, End)]
        whole = self._steps[: ends[-1] + 1] if ends else []
        if not self._fit(whole):
            return []
        self.started = True
        self.state = ReaderState.BROKEN
        return whole

    def _judge(self) -> list[Step]:
        if self._reader.state is ReaderState.OPEN:
            return []
        self.rest = self._reader.rest
        if self._reader.state is ReaderState.DONE and self._fit(self._steps):
            self.state = ReaderState.DONE
            self.started = True
            return self._steps
        self.state = ReaderState.FAILED
        return []

    def _fit(self, steps: list[Step]) -> bool:
        name = ""
        arguments: list[str] = []
        for step in steps:
            match step:
                case Start(name):
                    arguments = []
                case Arguments(fragment):
                    arguments.append(fragment)
                case End() if not self._tools.fits(name, "".join(arguments)):
                    return False
        return bool(steps)

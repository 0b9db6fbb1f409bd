"""Calls inside reasoning: drafts, if the reasoning is closed later; calls, if it never is."""

from __future__ import annotations

from services.inference_worker.chat.parser import Parser
from services.inference_worker.chat.steps import End, Start, Step, Text


class Draft:
    """Reads reasoning. What may have to be a call is held back, as text and as steps, until that is known."""

    def __init__(self, parser: Parser) -> None:
        self._parser = parser
        self._held: list[str] = []
        self._steps: list[Step] = []

    @property
    def incomplete(self) -> bool:
        return self._parser.incomplete

    def feed(self, text: str) -> str:
        """The reasoning that is certain now."""
        self._held.append(text)
        return self._keep(self._parser.feed(text))

    def close(self) -> str:
        """The reasoning was closed: all that was held back belongs to it."""
        return self._release(sum(map(len, self._held)))

    def finish(self, cut_off: bool) -> tuple[str, list[Step]]:
        """The reasoning was never closed: its last text; its calls with the text beside them."""
        certain = self._keep(self._parser.finish(cut_off))
        if not any(isinstance(step, End) for step in self._steps):
            # A call that is not whole serves nobody; as reasoning nothing is lost.
            return certain + self.close(), []
        return certain, self._steps

    def _keep(self, steps: list[Step]) -> str:
        """Before the first call the parser's prose is the fed text itself, in order and without gaps."""
        certain = 0
        for i, step in enumerate(steps):
            if self._steps or isinstance(step, Start):
                self._steps += steps[i:]
                break
            if isinstance(step, Text):
                certain += len(step.text)
        return self._release(certain)

    def _release(self, count: int) -> str:
        if not count:
            return ""
        held = "".join(self._held)
        self._held = [held[count:]]
        return held[:count]

"""How sure a candidate is of its tool calls: the lowest mean log-probability over a window of their tokens.

One unsure stretch is what makes a call wrong, and a mean over all of a long call hides it (after the group
confidence of DeepConf, arXiv 2508.15260, with windows as short as arguments are).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from services.common.chat import ChatEvent, ToolCallArguments, ToolCallEnded, ToolCallStarted

WINDOW = 16


class ArgumentLogprobs:
    """Of one candidate: give it each token in turn."""

    def __init__(self) -> None:
        self._window: deque[float] = deque(maxlen=WINDOW)
        self._open = False
        self._least: float | None = None

    def add(self, logprob: float, events: Sequence[ChatEvent]) -> None:
        """`logprob`: of one token, natural logarithm; `events`: what came of it.

        Of a call are the tokens after the one with which it has begun, and those that arguments come of.
        """
        if self._open or any(isinstance(event, ToolCallArguments) for event in events):
            self._window.append(logprob)
            if len(self._window) == WINDOW:
                self._least = self._lower()
        for event in events:
            if isinstance(event, ToolCallStarted):
                self._open = True
            elif isinstance(event, ToolCallEnded):
                self._least = self.least()
                self._window.clear()
                self._open = False

    def least(self) -> float | None:
        """The lowest mean so far; None: no token of a call has come."""
        return self._lower() if 0 < len(self._window) < WINDOW else self._least

    def _lower(self) -> float:
        mean = sum(self._window) / len(self._window)
        return mean if self._least is None else min(self._least, mean)

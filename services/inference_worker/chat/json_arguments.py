"""The arguments of a call as one JSON object that goes out while it comes.

They go out as they were written, for as long as they are strict JSON. Two characters wait: an opening brace
until something follows it, so that `{}` is one piece, and the closing one until the object has ended. So
nobody can take the arguments of an unfinished call for complete ones.
"""

from __future__ import annotations

import json

from services.inference_worker.chat.json_scan import JsonScanner, ScanState
from services.inference_worker.chat.steps import Arguments, Step
from services.inference_worker.chat.text import BLANKS

EMPTY = "{}"
_LONGEST_OPENING = 64  # characters of brace and blanks that wait for what follows


class JsonArguments:
    """`feed` pieces until `state` is COMPLETE or INVALID. What follows the value is never consumed.

    The value is an object; or the JSON text of one inside a string, as OpenAI's API has it; or null, or an
    empty string, for none. Only an object goes out in pieces.
    """

    def __init__(self) -> None:
        self.state = ScanState.OPEN
        self._scanner = JsonScanner()
        self._direct: bool | None = None  # an object, which goes out as it comes
        self._pending: list[str] = []
        self._opened = False  # something beyond the opening brace is out

    def feed(self, text: str, at: int, steps: list[Step]) -> int:
        """Reads on from `text[at]`; returns the index of the first character that it did not consume."""
        if self._direct is None:
            while at < len(text) and text[at] in BLANKS:
                at += 1
            if at == len(text):
                return at
            if text[at] not in '{"n':
                self.state = ScanState.INVALID
                return at
            self._direct = text[at] == "{"
        end = self._scanner.feed(text, at)
        self.state = self._scanner.state
        self._pending.append(text[at:end])
        if self.state is ScanState.COMPLETE:
            self._complete(steps)
        elif self._direct:
            self._send(steps)
        return end

    def _send(self, steps: list[Step]) -> None:
        text = "".join(self._pending)
        if not self._opened and len(text) <= _LONGEST_OPENING and not text.strip("{" + BLANKS):
            self._pending = [text]
        elif text:
            self._opened = True
            self._pending = []
            steps.append(Arguments(text))

    def _complete(self, steps: list[Step]) -> None:
        text = "".join(self._pending)
        if not self._direct:
            text = (json.loads(text) or "").strip(BLANKS) or EMPTY
            if not _is_object(text):
                self.state = ScanState.INVALID
                return
        steps.append(Arguments(text))


def _is_object(text: str) -> bool:
    scanner = JsonScanner()
    return text[0] == "{" and scanner.feed(text) == len(text) and scanner.state is ScanState.COMPLETE

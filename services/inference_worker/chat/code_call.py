"""Reads a call that is nothing but code for the one tool that runs it, such as

    <|python_tag|>print("hello")

with its opener. The code is raw and goes on to the end of the turn.
"""

from __future__ import annotations

import json

from services.inference_worker.chat.formats import Format
from services.inference_worker.chat.steps import Arguments, End, ReaderState, Start, Step
from services.inference_worker.chat.text import may_become, partial_suffix
from services.inference_worker.chat.toolbox import Toolbox
from services.inference_worker.chat.values import escape

_TOOLS = ("python", "ipython")
_PARAMETER = "code"


class CodeCallReader:
    """What does not begin with the opener is no call; nor is anything where no tool takes code."""

    def __init__(self, format: Format, tools: Toolbox) -> None:
        self.state = ReaderState.OPEN
        self.begun = False
        self.started = False
        self.rest = ""
        self._opener = format.code
        self._ends = format.end_tokens
        self._text = ""
        self._tool = next((name for name in _TOOLS if tools.offers(name)), "")
        self._parameter = _takes_code(tools, self._tool)

    def feed(self, text: str) -> list[Step]:
        self._text += text
        steps: list[Step] = []
        if not self.started and not self._begin(steps):
            return steps
        ends = [at for end in self._ends if (at := self._text.find(end)) >= 0]
        if ends:
            self._write(min(ends), steps)
            self._end(steps)
        else:
            self._write(len(self._text) - partial_suffix(self._text, self._ends), steps)
        return steps

    def finish(self, cut_off: bool) -> list[Step]:
        steps: list[Step] = []
        if self.started and not cut_off:
            self._write(len(self._text), steps)
            self._end(steps)
        return steps

    def _begin(self, steps: list[Step]) -> bool:
        if may_become(self._text, (self._opener,)):
            return False
        opened = self._text.startswith(self._opener)
        if not opened or not self._parameter:
            # The opener is text then, and nothing begins with it again.
            self.state = ReaderState.FAILED
            self.rest, self._text = self._text[len(self._opener) if opened else 0 :], ""
            return False
        self._text = self._text[len(self._opener) :]
        self.started = self.begun = True
        name = json.dumps(self._parameter, ensure_ascii=False)
        steps += [Start(self._tool), Arguments(f'{{{name}:"')]
        return True

    def _write(self, end: int, steps: list[Step]) -> None:
        piece, self._text = self._text[:end], self._text[end:]
        if piece:
            steps.append(Arguments(escape(piece)))

    def _end(self, steps: list[Step]) -> None:
        steps += [Arguments('"}'), End()]
        self.state = ReaderState.DONE
        self.rest, self._text = self._text, ""


def _takes_code(tools: Toolbox, tool: str) -> str:
    """The parameter that takes the code: `code`, else the only one that may be a text, else ""."""
    texts = [name for name, types in tools.parameter_types(tool).items() if "string" in types] if tool else []
    return _PARAMETER if _PARAMETER in texts else texts[0] if len(texts) == 1 else ""

"""Reads a JSON object that may be a call or just an object: nothing is told of it before it is whole."""

from __future__ import annotations

import json
from typing import Any

from services.inference_worker.chat.formats import Format
from services.inference_worker.chat.json_scan import JsonScanner, ScanState
from services.inference_worker.chat.steps import Arguments, End, ReaderState, Start, Step
from services.inference_worker.chat.text import BLANKS
from services.inference_worker.chat.toolbox import Toolbox

_OF_DEFINITIONS = "description"  # a member that tools' definitions have and calls have not


class PlainJsonReader:
    """A call has a name and arguments, each once. An object that is none is consumed to its end all the same:
    what stands inside it is a part of it."""

    begun = False

    def __init__(self, format: Format, tools: Toolbox) -> None:
        self.state = ReaderState.OPEN
        self.started = False
        self.rest = ""
        self._format = format
        self._tools = tools
        self._scanner = JsonScanner()
        self._pieces: list[str] = []

    def feed(self, text: str) -> list[Step]:
        at = 0
        if not self._pieces:
            at = len(text) - len(text.lstrip(BLANKS))
            if at < len(text) and text[at] != "{":
                self.state = ReaderState.FAILED
                self.rest = text[at:]
                return []
        end = self._scanner.feed(text, at)
        if end > at:
            self._pieces.append(text[at:end])
        if self._scanner.state is ScanState.OPEN:
            return []
        self.rest = text[end:]
        steps = self._steps() if self._scanner.state is ScanState.COMPLETE else []
        self.started = bool(steps)
        self.state = ReaderState.DONE if steps else ReaderState.FAILED
        return steps

    def finish(self, cut_off: bool) -> list[Step]:
        return []

    def _steps(self) -> list[Step]:
        try:
            members = _loads("".join(self._pieces))
            names = [members[key] for key in self._format.name_keys if key in members]
            arguments = [members[key] for key in self._format.arguments_keys if key in members]
            if len(names) != 1 or len(arguments) != 1 or _OF_DEFINITIONS in members:
                return []
            name, given = names[0], arguments[0]
            if isinstance(given, str):  # packed as OpenAI's API has them
                given = _loads(given or "{}")
            if not isinstance(name, str) or not name.strip() or not isinstance(given or {}, dict):
                return []
            text = json.dumps(given or {}, ensure_ascii=False, allow_nan=False)
        except (ValueError, RecursionError):
            return []
        return [Start(self._tools.mend(name.strip())), Arguments(text), End()]


def _loads(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_unambiguous)


def _unambiguous(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """Raises ValueError for a member that is there twice: which one is meant would be a guess."""
    found = dict(members)
    if len(found) < len(members):
        raise ValueError("a member is there twice")
    return found

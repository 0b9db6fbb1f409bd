"""Answers whose every part begins with a header that says what it is: reasoning, content or a call."""

from __future__ import annotations

from typing import Protocol

from services.inference_worker.chat.formats import Format, Routing
from services.inference_worker.chat.harmony import HarmonyRouter
from services.inference_worker.chat.recipients import RecipientRouter
from services.inference_worker.chat.steps import Step
from services.inference_worker.chat.toolbox import Toolbox


class Router(Protocol):
    """Reads a whole answer, headers and all.

    `incomplete`: a call was begun and can no longer be completed.
    `reasoning_open`: the text that comes now is reasoning.
    """

    incomplete: bool

    @property
    def reasoning_open(self) -> bool: ...

    def feed(self, text: str) -> list[Step]: ...

    def finish(self, cut_off: bool) -> list[Step]: ...


def router(format: Format, tools: Toolbox, prompt_tail: str) -> Router | None:
    """None for a format whose answers have no headers. A header may have been begun at the prompt's end."""
    match format.routing:
        case Routing.HARMONY:
            return HarmonyRouter(format, tools, prompt_tail)
        case Routing.RECIPIENT:
            return RecipientRouter(format, tools, prompt_tail)
        case Routing.NONE:
            return None

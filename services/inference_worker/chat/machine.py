"""The push machine: generated text in, chat events out, whole or in any pieces."""

from __future__ import annotations

from collections.abc import Sequence

from services.common.chat import ChatEvent, ContentDelta, FinishReason, Tool
from services.inference_worker.chat.formats import Format


class PushMachine:
    """Reads one candidate's text as it is generated."""

    def __init__(
        self,
        format: Format,
        tools: Sequence[Tool],
        candidate: int,
        prompt_tail: str = "",
        parallel: bool = True,
    ) -> None:
        self._candidate = candidate
        self._format = format

    @property
    def reasoning_open(self) -> bool:
        """Whether the text that comes now is reasoning."""
        return False

    @property
    def done(self) -> bool:
        """Whether whatever comes now would be dropped: generation may end here."""
        return False

    def feed(self, text: str) -> list[ChatEvent]:
        """The events that `text` completes."""
        return [ContentDelta(self._candidate, text)] if text else []

    def finish(self, cut_off: bool) -> tuple[list[ChatEvent], FinishReason]:
        """What was held back, and why the answer ends; `cut_off`: by the token limit, not by the model."""
        return [], FinishReason.LENGTH if cut_off else FinishReason.STOP

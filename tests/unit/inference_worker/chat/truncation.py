"""What must hold wherever a text is cut off."""

from __future__ import annotations

from collections.abc import Sequence

from services.common.chat import FinishReason, Tool
from services.inference_worker.chat.formats import Format
from services.inference_worker.chat.text import partial_suffix
from tests.unit.inference_worker.chat.reading import TOOLS, read, read_pieces


def assert_cut_anywhere(
    form: Format, text: str, tools: Sequence[Tool] = TOOLS, *, markers: Sequence[str] = ()
) -> None:
    """Cut at any point, `text` gives a beginning of what it gives whole, and no call that is not whole in it.

    markers: special tokens, within which no text is cut.
    """
    whole = read(form, text, tools)
    for end in range(len(text)):
        if partial_suffix(text[:end], markers):
            continue
        reading = read_pieces(form, [text[:end]], tools, cut_off=True)
        assert whole.content.startswith(reading.content), end
        assert whole.reasoning.startswith(reading.reasoning), end
        assert reading.reason is FinishReason.LENGTH, end
        for call, full in zip(reading.calls, whole.calls, strict=False):
            assert (call.name, call.ended) == (full.name, call.arguments == full.arguments), end
            assert full.arguments.startswith(call.arguments), end

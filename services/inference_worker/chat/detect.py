"""Which format a model speaks, told by its own chat template."""

from __future__ import annotations

from dataclasses import replace

from services.inference_worker.chat.formats import HERMES_JSON, NONE, QWEN3_CODER_XML, THINK, Format
from services.inference_worker.chat.template import ChatTemplate

# A format is suspected when its template contains all of these texts and none of the others.
_FINGERPRINTS: tuple[tuple[Format, tuple[str, ...], tuple[str, ...]], ...] = (
    (QWEN3_CODER_XML, ("<tool_call>", "<function=", "<parameter="), ()),
    (HERMES_JSON, ("<tool_call>", "arguments"), ("<function=", "<arg_key>")),
)


def detect(template: ChatTemplate) -> Format:
    """The format whose call the template prints; else the one it describes; else `none`."""
    for record in (QWEN3_CODER_XML, HERMES_JSON):
        if _fits(template, record):
            return record
    if THINK.close in template.source:
        return replace(NONE, reasoning=THINK)
    return NONE


def _fits(template: ChatTemplate, record: Format) -> bool:
    wanted, unwanted = next((w, u) for f, w, u in _FINGERPRINTS if f is record)
    return all(w in template.source for w in wanted) and not any(u in template.source for u in unwanted)

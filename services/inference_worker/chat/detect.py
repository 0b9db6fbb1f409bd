"""Which format a model speaks, told by its own chat template."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from services.common.chat import ChatEvent, Tool, ToolCallArguments, ToolCallEnded, ToolCallStarted
from services.common.errors import SwarmError
from services.inference_worker.chat.formats import HERMES_JSON, NONE, QWEN3_CODER_XML, THINK, Format
from services.inference_worker.chat.machine import PushMachine
from services.inference_worker.chat.template import ChatTemplate

# Formats in the order in which they are tried, each with the texts that its templates are known by.
_FINGERPRINTS: tuple[tuple[Format, tuple[str, ...]], ...] = (
    (QWEN3_CODER_XML, ("<tool_call>", "<function=", "<parameter=")),
    (HERMES_JSON, ("<tool_call>", '"arguments"')),
)

_TOOL = Tool("probe_tool", parameters_json='{"properties": {"probe_key": {"type": "string"}}}')
_ARGUMENTS = {"probe_key": "probe value"}


def detect(template: ChatTemplate) -> Format:
    """The format in which the template prints a call; else the one that it describes; else `none`.

    What it prints counts for more than what it says: a template that prints calls in a way that is not known
    here is `none`, even where its instructions look familiar.
    """
    printed = _printed_call(template)
    if printed is not None and _TOOL.name in printed:
        known = (record for record, _ in _FINGERPRINTS if _reads(record, printed))
    else:
        known = (record for record, texts in _FINGERPRINTS if all(text in template.source for text in texts))
    found = next(known, NONE)
    if found is NONE and THINK.close in template.source:
        return replace(NONE, reasoning=THINK)
    return found


def _printed_call(template: ChatTemplate) -> str | None:
    """How the template prints an assistant's call: what differs from the same turn with words."""
    function: dict[str, Any] = {"name": _TOOL.name, "arguments": _ARGUMENTS}
    if template.arguments_as_text:
        function["arguments"] = json.dumps(_ARGUMENTS)
    call = {"id": "call00000", "type": "function", "function": function}
    user = {"role": "user", "content": "probe"}
    calling = {"role": "assistant", "content": "", "tool_calls": [call]}
    speaking = {"role": "assistant", "content": "probe answer"}
    try:
        with_call = template.render_messages([user, calling], None, False)
        without = template.render_messages([user, speaking], None, False)
    except SwarmError:
        return None  # it takes no such conversation; its text is all there is to go by
    pairs = zip(with_call, without, strict=False)
    same = next(
        (i for i, (one, other) in enumerate(pairs) if one != other), min(len(with_call), len(without))
    )
    return with_call[same:]


def _reads(record: Format, printed: str) -> bool:
    """Whether a machine for `record` finds the probe's call in what the template printed."""
    machine = PushMachine(record, [_TOOL], 0)
    events = [*machine.feed(printed), *machine.finish(False)[0]]
    return _calls(events) == [(_TOOL.name, _ARGUMENTS)]


def _calls(events: Iterable[ChatEvent]) -> list[tuple[str, object]]:
    names: dict[int, str] = {}
    arguments: dict[int, str] = {}
    calls: list[tuple[str, object]] = []
    for event in events:
        match event:
            case ToolCallStarted(index=index, name=name):
                names[index], arguments[index] = name, ""
            case ToolCallArguments(index=index, fragment=fragment):
                arguments[index] += fragment
            case ToolCallEnded(index=index):
                calls.append((names[index], json.loads(arguments[index])))
    return calls

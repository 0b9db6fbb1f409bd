"""Runs a machine over a text and puts its events together, checking the order that clients rely on."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from services.common.chat import (
    ChatEvent,
    ContentDelta,
    FinishReason,
    ReasoningDelta,
    Tool,
    ToolCallArguments,
    ToolCallEnded,
    ToolCallStarted,
)
from services.inference_worker.chat.formats import Format
from services.inference_worker.chat.machine import PushMachine


def tool(name: str, **properties: object) -> Tool:
    """A tool whose parameters have these schemas."""
    schema = {"type": "object", "properties": properties}
    return Tool(name, parameters_json=json.dumps(schema))


STRING = {"type": "string"}
TOOLS = (
    tool("bash", command=STRING, timeout={"type": "integer"}),
    tool("read", filePath=STRING, limit={"type": ["integer", "null"]}),
    tool("todowrite", todos={"type": "array"}, merge={"type": "boolean"}),
    tool("list_files"),
)


@dataclass
class Call:
    name: str
    arguments: str = ""
    ended: bool = False


@dataclass
class Reading:
    content: str = ""
    reasoning: str = ""
    calls: list[Call] = field(default_factory=list)
    reason: FinishReason = FinishReason.STOP

    def whole_calls(self) -> list[tuple[str, object]]:
        return [(call.name, json.loads(call.arguments)) for call in self.calls if call.ended]


def collect(events: Iterable[ChatEvent], reason: FinishReason = FinishReason.STOP) -> Reading:
    reading = Reading(reason=reason)
    for event in events:
        match event:
            case ContentDelta(text=text):
                reading.content += text
            case ReasoningDelta(text=text):
                reading.reasoning += text
            case ToolCallStarted(index=index, name=name):
                assert index == len(reading.calls)
                reading.calls.append(Call(name))
            case ToolCallArguments(index=index, fragment=fragment):
                assert fragment
                assert index == len(reading.calls) - 1
                assert not reading.calls[index].ended
                reading.calls[index].arguments += fragment
            case ToolCallEnded(index=index):
                assert index == len(reading.calls) - 1
                assert not reading.calls[index].ended
                reading.calls[index].ended = True
            case _:
                raise AssertionError(f"unexpected {event}")
    for call in reading.calls:
        assert call.ended == _is_object(call.arguments), call
    return reading


def read_pieces(
    format: Format,
    pieces: Sequence[str],
    tools: Sequence[Tool] = TOOLS,
    *,
    cut_off: bool = False,
    prompt_tail: str = "",
    parallel: bool = True,
) -> Reading:
    """What the machine makes of the pieces."""
    ids = (f"call_{i}" for i in itertools.count())
    machine = PushMachine(format, tools, 0, prompt_tail, parallel, lambda: next(ids))
    events = [event for piece in pieces for event in machine.feed(piece)]
    last, reason = machine.finish(cut_off)
    return collect([*events, *last], reason)


def read(
    format: Format,
    text: str,
    tools: Sequence[Tool] = TOOLS,
    *,
    cut_off: bool = False,
    prompt_tail: str = "",
    parallel: bool = True,
) -> Reading:
    """What the machine makes of a text, whole and character by character, which must be the same."""
    whole, pieces = (
        read_pieces(format, cut, tools, cut_off=cut_off, prompt_tail=prompt_tail, parallel=parallel)
        for cut in ([text], list(text))
    )
    assert whole == pieces
    return whole


def read_everywhere(
    format: Format, text: str, tools: Sequence[Tool] = TOOLS, *, cut_off: bool = False
) -> Reading:
    """What the machine makes of a text: whole, by characters and cut in two anywhere, always the same."""
    whole = read(format, text, tools, cut_off=cut_off)
    for at in range(1, len(text)):
        assert read_pieces(format, [text[:at], text[at:]], tools, cut_off=cut_off) == whole
    return whole


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False

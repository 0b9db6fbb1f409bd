"""Which format a model speaks: told by its template, its name, or the user."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from services.common.chat import ChatEvent, Tool, ToolCallArguments, ToolCallEnded, ToolCallStarted
from services.common.errors import invalid
from services.inference_worker.chat.fingerprints import FINGERPRINTS, NAMES, REASONING, STUBBORN
from services.inference_worker.chat.formats import FORMATS, Format, Routing, Trust
from services.inference_worker.chat.habits import PROBE, PROBE_ARGUMENTS, PROBE_KEY, printed_calls
from services.inference_worker.chat.machine import PushMachine
from services.inference_worker.chat.template import ChatTemplate

AUTO = "auto"
PRINTED = "printed by the template"
DESCRIBED = "described in the template"
NAMED = "by the model's name"
CHOSEN = "chosen by tool_format"
DEFAULT = "nothing tells, so lines"

_TOOL = Tool(PROBE, parameters_json=json.dumps({"properties": {PROBE_KEY: {"type": "string"}}}))


@dataclass(frozen=True, slots=True)
class Detected:
    """`how`: what told, in a few words for the log and for people."""

    format: Format
    how: str


def detect(template: ChatTemplate, names: Sequence[str] = (), chosen: str = AUTO) -> Detected:
    """The format of a model with this template.

    names: what the model is called, such as its file's name. chosen: the setting tool_format, `auto` or the
    name of a format. Raises SwarmError INVALID_FIELD for another.

    What the template prints counts for more than what it says, and both for more than a name; but some models
    are known to speak otherwise than their template. Where nothing tells it is `tool_line`, which any model
    can be taught.
    """
    check(chosen)
    if chosen != AUTO:
        found = Detected(FORMATS[chosen], CHOSEN)
    else:
        found = (
            _by_name(names, STUBBORN)
            or _by_print(template)
            or _by_source(template)
            or _by_name(names, NAMES)
            or Detected(FORMATS["tool_line"], DEFAULT)
        )
    return replace(found, format=_with_reasoning(found.format, template.source))


def check(chosen: str) -> None:
    """Raises SwarmError INVALID_FIELD for what is neither `auto` nor a format's name."""
    if chosen != AUTO and chosen not in FORMATS:
        known = ", ".join([AUTO, *sorted(FORMATS)])
        raise invalid("tool_format", f"tool_format: there is no format {chosen!r}; there are {known}")


def _by_name(names: Iterable[str], known: Iterable[tuple[re.Pattern[str], str]]) -> Detected | None:
    for pattern, format in known:
        if any(pattern.search(name) for name in names):
            return Detected(FORMATS[format], NAMED)
    return None


def _by_print(template: ChatTemplate) -> Detected | None:
    """The format in which a call is printed: the first known by its markers whose reader finds the call,
    else any whose reader does, else the one known by its markers."""
    texts = printed_calls(template.render_messages, template.habits)
    if not texts:
        return None
    known = [each.format for each in FINGERPRINTS if each.in_print(texts[0])]
    explicit_first = sorted(FORMATS.values(), key=lambda record: record.trust is not Trust.EXPLICIT)
    for name in (*known, *(record.name for record in explicit_first)):
        if any(_reads(FORMATS[name], text) for text in texts):
            return Detected(FORMATS[name], PRINTED)
    return Detected(FORMATS[known[0]], PRINTED) if known else None


def _by_source(template: ChatTemplate) -> Detected | None:
    """Only where no call is printed: then what the template says is all there is to go by."""
    if template.habits.calls:
        return None
    known = (each for each in FINGERPRINTS if each.in_source(template.source))
    return next((Detected(FORMATS[each.format], DESCRIBED) for each in known), None)


def _with_reasoning(format: Format, source: str) -> Format:
    """The format with the reasoning tags that the template shows, where it has none or others."""
    own = format.reasoning
    if format.routing is not Routing.NONE or (own is not None and own.close in source):
        return format
    shown = next((tags for tags in REASONING if tags.close in source), own)
    return format if shown == own else replace(format, reasoning=shown)


def _reads(record: Format, printed: str) -> bool:
    """Whether a machine for `record` finds the probe's call in what the template printed."""
    machine = PushMachine(record, [_TOOL], 0)
    events = [*machine.feed(printed), *machine.finish(False)[0]]
    return _calls(events) == [(PROBE, PROBE_ARGUMENTS)]


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

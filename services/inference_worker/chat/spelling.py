"""A call as text in a format: for templates that cannot print calls, and as the example in instructions."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from services.inference_worker.chat.formats import FORMATS, Format, Routing, Tags, ValueStyle

_ON_LINE = re.compile(r"(\w>|json)$")


def spell(format: Format, name: str, arguments_json: str) -> str:
    """The call as a model of this format writes it.

    Arguments that are no JSON object (of a call that was cut off) stand as they are, in lines, as does every
    call of a format that only its own template can spell.
    """
    values = _object(arguments_json)
    if values is None or format.style in (None, ValueStyle.LINES, ValueStyle.BRACED):
        return _lines(name, arguments_json or "{}")
    keyed = format.style is ValueStyle.KEYED_XML
    text = _between(format.call, _body(format, name, values), "" if keyed else "\n")
    # Where parts of an answer have headers, the section is the part, and the prompt has opened it.
    sections = format.section[:1] if format.routing is Routing.NONE else ()
    return _between(sections[0], text) if sections else text


def _body(format: Format, name: str, values: Mapping[str, Any]) -> str:
    match format.style:
        case ValueStyle.NAMED_JSON:
            numbered = format.name_prefix and format.identity.open
            identity = f"{format.identity.open}0{format.identity.close}" if numbered else ""
            head = f"{format.function.open}{format.name_prefix}{name}{identity}{format.function.close}"
            return head + format.arguments.open + _json(values) + format.arguments.close
        case ValueStyle.TYPED_XML:
            return _typed_xml(format, name, values)
        case ValueStyle.KEYED_XML:
            pairs = (
                f"{_tagged(format.parameter, key)}\n{_tagged(format.value, _raw(value))}\n"
                for key, value in values.items()
            )
            return f"{name}\n{''.join(pairs)}"
        case ValueStyle.PYTHON:
            call = f"{name}({', '.join(f'{key}={value!r}' for key, value in values.items())})"
            return f"[{call}]" if format.array else call
        case _:
            call = _json({format.name_keys[0]: name, format.arguments_keys[0]: values})
            return f"[{call}]" if format.array else call


def _typed_xml(format: Format, name: str, values: Mapping[str, Any]) -> str:
    """A value that ends with its line has a line of its own where the format's parameters take one."""
    pairs = []
    for key, value in values.items():
        kind = str(isinstance(value, str)).lower() if format.string_attribute else ""
        head = f"{format.parameter.open}{key}{format.string_attribute}{kind}{format.parameter.close}"
        pairs.append(f"{head}{_own_line(format, _raw(value))}{format.parameter_close}\n")
    return f"{format.function.open}{name}{format.function.close}\n{''.join(pairs)}{format.function_close}"


def _own_line(format: Format, text: str) -> str:
    return text if format.string_attribute else f"\n{text}\n"


def _between(tags: Tags, text: str, line: str = "\n") -> str:
    """Elements and fences stand on lines of their own, other markers close to the text."""
    if not tags.close or not _ON_LINE.search(tags.open):
        line = ""
    return f"{tags.open}{line}{text}{line}{tags.close}"


def _tagged(tags: Tags, text: str) -> str:
    return f"{tags.open}{text}{tags.close}"


def _lines(name: str, arguments: str) -> str:
    line = FORMATS["tool_line"]
    return f"{line.call.open} {name}\n{line.arguments.open} {arguments}"


def _raw(value: object) -> str:
    return value if isinstance(value, str) else _json(value)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None

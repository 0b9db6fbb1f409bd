"""Calls that are one JSON object each, with the name and the arguments in it."""

from __future__ import annotations

from services.inference_worker.chat.formats.record import THINK, Format, Tags, ValueStyle

HERMES_JSON = Format(
    name="hermes_json",
    style=ValueStyle.JSON_OBJECT,
    reasoning=THINK,
    call=Tags("<tool_call>", "</tool_call>"),
    name_keys=("name",),
    arguments_keys=("arguments", "parameters"),
)

RECORDS = (HERMES_JSON,)

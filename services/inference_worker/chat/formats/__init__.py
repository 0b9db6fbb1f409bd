"""How models spell reasoning and tool calls, as records, one module a family."""

from collections.abc import Mapping
from types import MappingProxyType

from services.inference_worker.chat.formats import (
    json_formats,
    named_formats,
    routed_formats,
    value_formats,
    xml_formats,
)
from services.inference_worker.chat.formats.json_formats import HERMES_JSON
from services.inference_worker.chat.formats.record import THINK, Format, Routing, Tags, Trust, ValueStyle
from services.inference_worker.chat.formats.xml_formats import QWEN3_CODER_XML

NONE = Format(name="none")

FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        record.name: record
        for record in (
            *json_formats.RECORDS,
            *xml_formats.RECORDS,
            *named_formats.RECORDS,
            *value_formats.RECORDS,
            *routed_formats.RECORDS,
            NONE,
        )
    }
)

__all__ = [
    "FORMATS",
    "HERMES_JSON",
    "NONE",
    "QWEN3_CODER_XML",
    "THINK",
    "Format",
    "Routing",
    "Tags",
    "Trust",
    "ValueStyle",
]

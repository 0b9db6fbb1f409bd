"""Calls whose name and parameters stand between markers, with raw values."""

from __future__ import annotations

from services.inference_worker.chat.formats.record import THINK, Format, Tags, ValueStyle

QWEN3_CODER_XML = Format(
    name="qwen3_coder_xml",
    style=ValueStyle.TYPED_XML,
    reasoning=THINK,
    call=Tags("<tool_call>", "</tool_call>"),
    function=Tags("<function=", ">"),
    function_close="</function>",
    parameter=Tags("<parameter=", ">"),
    parameter_close="</parameter>",
)

RECORDS = (QWEN3_CODER_XML,)

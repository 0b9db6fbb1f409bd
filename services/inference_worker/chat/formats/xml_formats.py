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

SEED_OSS = Format(
    name="seed_oss",
    style=ValueStyle.TYPED_XML,
    reasoning=Tags("<seed:think>", "</seed:think>"),
    call=Tags("<seed:tool_call>", "</seed:tool_call>"),
    function=Tags("<function=", ">"),
    function_close="</function>",
    parameter=Tags("<parameter=", ">"),
    parameter_close="</parameter>",
)

MINIMAX_M2 = Format(
    name="minimax_m2",
    style=ValueStyle.TYPED_XML,
    reasoning=THINK,
    call=Tags("<minimax:tool_call>", "</minimax:tool_call>"),
    function=Tags('<invoke name="', '">'),
    function_close="</invoke>",
    parameter=Tags('<parameter name="', '">'),
    parameter_close="</parameter>",
)

DEEPSEEK_DSML = Format(
    name="deepseek_dsml",
    style=ValueStyle.TYPED_XML,
    reasoning=THINK,
    call=Tags("<｜DSML｜function_calls>", "</｜DSML｜function_calls>"),
    further_calls=(Tags("<｜DSML｜tool_calls>", "</｜DSML｜tool_calls>"),),
    function=Tags('<｜DSML｜invoke name="', '">'),
    function_close="</｜DSML｜invoke>",
    parameter=Tags('<｜DSML｜parameter name="', '">'),
    parameter_close="</｜DSML｜parameter>",
    string_attribute='" string="',
)

RECORDS = (QWEN3_CODER_XML, SEED_OSS, MINIMAX_M2, DEEPSEEK_DSML)

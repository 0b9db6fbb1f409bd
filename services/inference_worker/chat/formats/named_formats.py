"""Calls whose name stands before their arguments, which are one JSON object.

Between the same markers models also write the object that most others write, with the name in it.
"""

from __future__ import annotations

from services.inference_worker.chat.formats.record import END_TOKENS, THINK, Format, Tags, ValueStyle

MISTRAL_ARGS = Format(
    name="mistral_args",
    style=ValueStyle.NAMED_JSON,
    reasoning=Tags("[THINK]", "[/THINK]"),
    call=Tags("[TOOL_CALLS]", ""),
    function=Tags("", "[ARGS]"),
    identity=Tags("[CALL_ID]", ""),
    # Models of this family write the older array too, whatever their template says.
    further_styles=(ValueStyle.JSON_OBJECT,),
    arrays_too=True,
    name_keys=("name",),
    arguments_keys=("arguments", "parameters"),
    end_tokens=("</s>", *END_TOKENS),
)

DEEPSEEK_V3 = Format(
    name="deepseek_v3",
    style=ValueStyle.NAMED_JSON,
    reasoning=THINK,
    section=(
        Tags("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"),
        # Distilled models spell the opener out of ordinary tokens.
        Tags("<｜tool▁calls｜>", "<｜tool▁calls▁end｜>"),
        Tags("<｜tool_calls_begin｜>", "<｜tool_calls_end｜>"),
        Tags("<｜tool calls begin｜>", "<｜tool calls end｜>"),
        Tags("<｜tool\\_calls\\_begin｜>", "<｜tool\\_calls\\_end｜>"),
    ),
    call=Tags("<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>"),
    function=Tags("function<｜tool▁sep｜>", "\n"),
    arguments=Tags("```json\n", "\n```"),
    further_styles=(ValueStyle.JSON_OBJECT,),
    name_keys=("name",),
    arguments_keys=("arguments", "parameters"),
)

DEEPSEEK_V31 = Format(
    name="deepseek_v31",
    style=ValueStyle.NAMED_JSON,
    reasoning=THINK,
    section=(Tags("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"),),
    call=Tags("<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>"),
    function=Tags("", "<｜tool▁sep｜>"),
    further_styles=(ValueStyle.JSON_OBJECT,),
    name_keys=("name",),
    arguments_keys=("arguments", "parameters"),
)

KIMI_K2 = Format(
    name="kimi_k2",
    style=ValueStyle.NAMED_JSON,
    reasoning=THINK,
    section=(
        Tags("<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"),
        Tags("<|tool_call_section_begin|>", "<|tool_call_section_end|>"),
    ),
    call=Tags("<|tool_call_begin|>", "<|tool_call_end|>"),
    function=Tags("", "<|tool_call_argument_begin|>"),
    name_prefix="functions.",
    identity=Tags(":", ""),
    further_styles=(ValueStyle.JSON_OBJECT,),
    name_keys=("name",),
    arguments_keys=("arguments", "parameters"),
)

FUNCTIONARY_V31 = Format(
    name="functionary_v31",
    style=ValueStyle.NAMED_JSON,
    call=Tags("<function=", "</function>"),
    function=Tags("", ">"),
    further_styles=(ValueStyle.CODE,),
    code="<|python_tag|>",
)

RECORDS: tuple[Format, ...] = (MISTRAL_ARGS, DEEPSEEK_V3, DEEPSEEK_V31, KIMI_K2, FUNCTIONARY_V31)

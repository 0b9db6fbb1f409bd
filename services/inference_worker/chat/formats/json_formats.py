"""Calls that are one JSON object each, with the name and the arguments in it."""

from __future__ import annotations

from services.inference_worker.chat.formats.record import (
    END_TOKENS,
    THINK,
    Format,
    Tags,
    Trust,
    ValueStyle,
)

_NAKED = Tags("", "")
_FENCES = (Tags("```json", "```"), Tags("```tool_call", "```"), Tags("```", "```"))

HERMES_JSON = Format(
    name="hermes_json",
    style=ValueStyle.JSON_OBJECT,
    reasoning=THINK,
    call=Tags("<tool_call>", "</tool_call>"),
    arrays_too=True,
    name_keys=("name",),
    arguments_keys=("arguments", "parameters"),
)

# What its template asks for, and what the models write in its place.
QWEN25_CODER = Format(
    name="qwen25_coder",
    style=ValueStyle.JSON_OBJECT,
    reasoning=THINK,
    call=Tags("<tool_call>", "</tool_call>"),
    further_calls=(Tags("<tools>", "</tools>"), Tags("<function>", "</function>")),
    plain_calls=(*_FENCES, _NAKED),
    arrays_too=True,
    name_keys=("name",),
    arguments_keys=("arguments", "parameters"),
)

FENCED_JSON = Format(
    name="fenced_json",
    style=ValueStyle.JSON_OBJECT,
    trust=Trust.PLAIN,
    reasoning=THINK,
    call=_FENCES[0],
    further_calls=(*_FENCES[1:], _NAKED),
    arrays_too=True,
    name_keys=("name",),
    arguments_keys=("arguments", "parameters"),
)

BARE_JSON = Format(
    name="bare_json",
    style=ValueStyle.JSON_OBJECT,
    trust=Trust.PLAIN,
    reasoning=THINK,
    call=_NAKED,
    further_calls=_FENCES,
    arrays_too=True,
    name_keys=("name",),
    arguments_keys=("arguments", "parameters"),
)

LLAMA3_JSON = Format(
    name="llama3_json",
    style=ValueStyle.JSON_OBJECT,
    reasoning=THINK,
    call=Tags("<|python_tag|>", ""),
    plain_calls=(_NAKED,),
    # Its built-in tools are called in Python: `<|python_tag|>brave_search.call(query="x")`.
    further_styles=(ValueStyle.PYTHON,),
    separators=(";",),
    arrays_too=True,
    name_keys=("name",),
    arguments_keys=("parameters", "arguments"),
    noise=("<|start_header_id|>assistant<|end_header_id|>",),
)

MISTRAL_ARRAY = Format(
    name="mistral_array",
    style=ValueStyle.JSON_OBJECT,
    reasoning=Tags("[THINK]", "[/THINK]"),
    call=Tags("[TOOL_CALLS]", ""),
    array=True,
    name_keys=("name",),
    arguments_keys=("arguments", "parameters"),
    end_tokens=("</s>", *END_TOKENS),
)

GRANITE3 = Format(
    name="granite3",
    style=ValueStyle.JSON_OBJECT,
    reasoning=THINK,
    call=Tags("<|tool_call|>", ""),
    further_calls=(Tags("<tool_call>", "</tool_call>"),),
    array=True,
    name_keys=("name",),
    arguments_keys=("arguments", "parameters"),
)

PHI4_MINI = Format(
    name="phi4_mini",
    style=ValueStyle.JSON_OBJECT,
    reasoning=THINK,
    call=Tags("functools", ""),
    further_calls=(Tags("<|tool_call|>", "<|/tool_call|>"),),
    array=True,
    name_keys=("name",),
    arguments_keys=("arguments", "parameters"),
)

NEMOTRON_JSON = Format(
    name="nemotron_json",
    style=ValueStyle.JSON_OBJECT,
    reasoning=THINK,
    call=Tags("<TOOLCALL>", "</TOOLCALL>"),
    array=True,
    name_keys=("name",),
    arguments_keys=("arguments", "parameters"),
    end_tokens=("<SPECIAL_12>", *END_TOKENS),
)

MINIMAX_M1 = Format(
    name="minimax_m1",
    style=ValueStyle.JSON_OBJECT,
    reasoning=THINK,
    call=Tags("<tool_calls>", "</tool_calls>"),
    arrays_too=True,
    name_keys=("name",),
    arguments_keys=("arguments", "parameters"),
    end_tokens=("<end_of_sentence>", *END_TOKENS),
)

COMMAND_R7B = Format(
    name="command_r7b",
    style=ValueStyle.JSON_OBJECT,
    reasoning=Tags("<|START_THINKING|>", "<|END_THINKING|>"),
    call=Tags("<|START_ACTION|>", "<|END_ACTION|>"),
    array=True,
    name_keys=("tool_name", "name"),
    arguments_keys=("parameters", "arguments"),
    # They frame every answer, whether it may call or not.
    end_tokens=("<|START_RESPONSE|>", "<|END_RESPONSE|>", *END_TOKENS),
)

COMMAND_R = Format(
    name="command_r",
    style=ValueStyle.JSON_OBJECT,
    reasoning=THINK,
    call=Tags("Action: ```json", "```"),
    further_calls=(Tags("Action:```json", "```"), Tags("Action:\n```json", "```")),
    array=True,
    name_keys=("tool_name", "name"),
    arguments_keys=("parameters", "arguments"),
    no_call_names=("directly-answer", "directly_answer"),
)

RECORDS = (
    HERMES_JSON,
    QWEN25_CODER,
    FENCED_JSON,
    BARE_JSON,
    LLAMA3_JSON,
    MISTRAL_ARRAY,
    GRANITE3,
    PHI4_MINI,
    NEMOTRON_JSON,
    MINIMAX_M1,
    COMMAND_R7B,
    COMMAND_R,
)

"""Calls whose values are written in a notation of their own: keyed, braced, Python, lines."""

from __future__ import annotations

from services.inference_worker.chat.formats.record import (
    END_TOKENS,
    THINK,
    Format,
    Tags,
    Trust,
    ValueStyle,
)

GLM4 = Format(
    name="glm4",
    style=ValueStyle.KEYED_XML,
    reasoning=THINK,
    call=Tags("<tool_call>", "</tool_call>"),
    parameter=Tags("<arg_key>", "</arg_key>"),
    value=Tags("<arg_value>", "</arg_value>"),
    # What most other models write between the same markers.
    further_styles=(ValueStyle.JSON_OBJECT,),
    name_keys=("name",),
    arguments_keys=("arguments", "parameters"),
    # The next turn's role ends this one.
    end_tokens=("<|user|>", "<|observation|>", "<|assistant|>", "<|system|>", *END_TOKENS),
)

TOOL_LINE = Format(
    name="tool_line",
    style=ValueStyle.LINES,
    trust=Trust.PLAIN,
    call=Tags("TOOL:", ""),
    function=Tags("", "\n"),
    arguments=Tags("ARGUMENTS:", ""),
)

GEMMA4 = Format(
    name="gemma4",
    style=ValueStyle.BRACED,
    reasoning=Tags("<|channel>thought", "<channel|>"),
    call=Tags("<|tool_call>", "<tool_call|>"),
    name_prefix="call:",
    value=Tags('<|"|>', '<|"|>'),
    end_tokens=("<turn|>", "<|tool_response>", "<eos>", *END_TOKENS),
)

FUNCTIONGEMMA = Format(
    name="functiongemma",
    style=ValueStyle.BRACED,
    call=Tags("<start_function_call>", "<end_function_call>"),
    function=Tags("call:", ""),
    value=Tags("<escape>", "<escape>"),
    end_tokens=("<start_function_response>", "<eos>", *END_TOKENS),
)

PYTHONIC = Format(
    name="pythonic",
    style=ValueStyle.PYTHON,
    trust=Trust.PLAIN,
    reasoning=THINK,
    array=True,
)

LFM2 = Format(
    name="lfm2",
    style=ValueStyle.PYTHON,
    reasoning=THINK,
    call=Tags("<|tool_call_start|>", "<|tool_call_end|>"),
    array=True,
)

RECORDS: tuple[Format, ...] = (GLM4, TOOL_LINE, GEMMA4, FUNCTIONGEMMA, PYTHONIC, LFM2)

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

RECORDS: tuple[Format, ...] = (GLM4, TOOL_LINE)

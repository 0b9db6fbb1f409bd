"""How models spell reasoning and tool calls, as records; the push machine reads them, nothing else does.

A record says which texts are markers and how the values between them are written. `design.md` shows how
the formats that are still to come fit into it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class ValueStyle(StrEnum):
    """How the arguments of a call are written."""

    JSON_OBJECT = "json_object"
    """One JSON object holds the name and the arguments."""
    TYPED_XML = "typed_xml"
    """The name and each parameter stand between markers; values are raw text, typed by the tool's schema."""


@dataclass(frozen=True, slots=True)
class Tags:
    """An opening and a closing text. An empty `close` means that nothing closes it."""

    open: str
    close: str


THINK = Tags("<think>", "</think>")


@dataclass(frozen=True, slots=True)
class Format:
    """One way of spelling reasoning and calls.

    name: as shown in ModelInfo.tool_format and chosen with --format.
    style: None for a model that makes no calls; its text passes untouched.
    reasoning: around reasoning; the prompt may already have opened it.
    call: around a call; what stands between opener and closer is written in `style`.
    function: around the name (`<function=` … `>`), when the name is not part of a JSON object.
    function_close: ends a function's parameters.
    parameter, parameter_close: around a parameter's name, and what ends its value.
    name_keys, arguments_keys: members of the JSON object, the model's own spelling first.
    """

    name: str
    style: ValueStyle | None = None
    reasoning: Tags | None = None
    call: Tags = Tags("", "")
    function: Tags = Tags("", "")
    function_close: str = ""
    parameter: Tags = Tags("", "")
    parameter_close: str = ""
    name_keys: tuple[str, ...] = ()
    arguments_keys: tuple[str, ...] = ()

    @property
    def markers(self) -> tuple[str, ...]:
        """Texts that must reach the machine even where the vocabulary hides them as control tokens."""
        reasoning = (self.reasoning.open, self.reasoning.close) if self.reasoning else ()
        every = (
            *reasoning,
            self.call.open,
            self.call.close,
            self.function.open,
            self.function_close,
            self.parameter.open,
            self.parameter_close,
        )
        return tuple(marker for marker in every if marker)

    def forced_prefix(self, name: str = "", some_argument: bool = False) -> str:
        """The text that opens a call, for tool_choice: put it behind the prompt and feed it to the machine.

        With `name` it commits the model to that tool, without it only to some tool. `some_argument` says
        that the tool requires a parameter, so that an empty object need not be possible.
        Raises ValueError for a format without calls.
        """
        if self.style is ValueStyle.JSON_OBJECT:
            head = f'{self.call.open}\n{{"{self.name_keys[0]}": "'
            if not name:
                return head
            quoted = json.dumps(name, ensure_ascii=False)[1:]
            return f'{head}{quoted}, "{self.arguments_keys[0]}": ' + ('{"' if some_argument else "{")
        if self.style is ValueStyle.TYPED_XML:
            head = f"{self.call.open}\n{self.function.open}"
            if not name:
                return head
            return f"{head}{name}{self.function.close}\n" + (self.parameter.open if some_argument else "")
        raise ValueError(f"the format {self.name} has no calls")


HERMES_JSON = Format(
    name="hermes_json",
    style=ValueStyle.JSON_OBJECT,
    reasoning=THINK,
    call=Tags("<tool_call>", "</tool_call>"),
    name_keys=("name",),
    arguments_keys=("arguments", "parameters"),
)

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

NONE = Format(name="none")

FORMATS: Mapping[str, Format] = MappingProxyType(
    {record.name: record for record in (HERMES_JSON, QWEN3_CODER_XML, NONE)}
)

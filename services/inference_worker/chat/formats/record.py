"""What a record of a format says: which texts are markers, and how the values between them are written.

The push machine reads records, and so do detection and grammar; none of them knows a format by its name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum


class ValueStyle(StrEnum):
    """How the arguments of a call are written."""

    JSON_OBJECT = "json_object"
    """One JSON object holds the name and the arguments."""
    TYPED_XML = "typed_xml"
    """The name and each parameter stand between markers; values are raw text, typed by the tool's schema."""
    NAMED_JSON = "named_json"
    """The name stands before the arguments, which are one JSON object."""
    KEYED_XML = "keyed_xml"
    """The name is bare text; each key and each value stand between markers of their own, values are raw."""
    BRACED = "braced"
    """`name{key:value,…}`, with texts between markers and everything else bare."""
    PYTHON = "python"
    """`name(key=value, …)` with Python's literals."""
    LINES = "lines"
    """A line with the name, then a line with the arguments as one JSON object."""
    CODE = "code"
    """Nothing but raw code, for the one tool that runs it."""


class Trust(StrEnum):
    """What it takes that a text is a call."""

    EXPLICIT = "explicit"
    """The markers alone: nothing but a call is written with them."""
    PLAIN = "plain"
    """An offered name and arguments that fit its schema: the same text may be prose or an example."""


class Routing(StrEnum):
    """How an answer is divided where every part of it begins with a header."""

    NONE = "none"
    HARMONY = "harmony"
    """`<|channel|>analysis|commentary|final … <|message|>`; a recipient in the header makes it a call."""
    RECIPIENT = "recipient"
    """`>>>name⏎`: text for `all`, else a call's arguments (Functionary 3.2)."""


@dataclass(frozen=True, slots=True)
class Tags:
    """An opening and a closing text. An empty `close` means that nothing closes it."""

    open: str
    close: str


THINK = Tags("<think>", "</think>")

END_TOKENS = (
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|end_of_role|>",
    "<|end|>",
    "<｜end▁of▁sentence｜>",
    "<end_of_turn>",
    "<|END_OF_TURN_TOKEN|>",
    "<seed:eos>",
    "[e~[",
)
"""Texts with which models end a turn and which mean nothing else anywhere."""


@dataclass(frozen=True, slots=True)
class Format:
    """One way of spelling reasoning and calls.

    name: as shown in ModelInfo.tool_format and chosen with --format.
    style: None for a model that makes no calls; its text passes untouched.
    trust: what it takes that a text is a call.
    reasoning: around reasoning; the prompt may already have opened it.
    section: around a run of calls.
    call: around a call; what stands between opener and closer is written in `style`. The first is what the
        model's template prints, further ones are spellings that were seen in the field.
    plain_calls: tags that are ordinary text, so that Trust.PLAIN holds for calls in them, whatever `trust`
        says. Tags without `open`, here and in `call`, stand for a naked call.
    further_styles: styles to try in turn where an opener is not followed by `style`.
    separators: texts that may stand between two calls of one section or list.
    array: calls stand in a JSON array (or a Python list) of their own; a single one needs no brackets.
    arrays_too: calls may stand in such an array, though the template prints none.
    function: around the name (`<function=` … `>`), when the name is not part of a JSON object. An empty
        `open` means that the name begins behind the call's opener.
    function_close: ends a function's parameters.
    name_prefix: stands before a tool's name and is no part of it.
    identity: around an id of the model's own that is dropped, between name and arguments or behind the name.
    arguments: around the arguments, where they have markers beside the call's own (a fence, a word).
    parameter, parameter_close: around a parameter's name, and what ends its value.
    value: around a value, where it has markers beside the parameter's own (GLM, Gemma's texts).
    name_keys, arguments_keys: members of the JSON object, the model's own spelling first.
    string_attribute: what says, between a parameter's name and `parameter.close`, whether the value is a
        text: `" string="` stands for `" string="true` and `" string="false`.
    code: begins a call of the style CODE, whose code goes on to the end of the turn.
    no_call_names: names that stand for "nothing is called"; such calls are dropped.
    noise: markers that are dropped wherever they stand outside of values.
    end_tokens: what ends a turn; dropped like noise, but also where no tools are offered.
    routing: how parts of an answer are told apart, when headers do that.
    """

    name: str
    style: ValueStyle | None = None
    trust: Trust = Trust.EXPLICIT
    reasoning: Tags | None = None
    section: tuple[Tags, ...] = ()
    call: Tags = Tags("", "")
    further_calls: tuple[Tags, ...] = ()
    plain_calls: tuple[Tags, ...] = ()
    further_styles: tuple[ValueStyle, ...] = ()
    separators: tuple[str, ...] = ()
    array: bool = False
    arrays_too: bool = False
    function: Tags = Tags("", "")
    function_close: str = ""
    name_prefix: str = ""
    identity: Tags = Tags("", "")
    arguments: Tags = Tags("", "")
    parameter: Tags = Tags("", "")
    parameter_close: str = ""
    string_attribute: str = ""
    value: Tags = Tags("", "")
    name_keys: tuple[str, ...] = ()
    arguments_keys: tuple[str, ...] = ()
    code: str = ""
    no_call_names: tuple[str, ...] = ()
    noise: tuple[str, ...] = ()
    end_tokens: tuple[str, ...] = END_TOKENS
    routing: Routing = Routing.NONE

    @property
    def calls(self) -> tuple[Tags, ...]:
        """The tags around calls in all spellings, the template's own first."""
        return (self.call, *self.further_calls, *self.plain_calls)

    @property
    def markers(self) -> tuple[str, ...]:
        """Texts that must reach the machine even where the vocabulary hides them as control tokens."""
        reasoning = (self.reasoning.open, self.reasoning.close) if self.reasoning else ()
        every = (
            *reasoning,
            *(text for tags in (*self.section, *self.calls) for text in (tags.open, tags.close)),
            self.function.open,
            self.function_close,
            self.identity.open,
            self.identity.close,
            self.parameter.open,
            self.parameter_close,
            self.value.open,
            self.value.close,
            self.code,
        )
        return tuple(dict.fromkeys(marker for marker in every if marker))

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

"""From a format's record and the offered tools to a grammar of what may stand behind a call's opener.

Names are the offered ones, arguments fit the tools' schemas. What of a schema cannot be held is an error for
strict tools and is left open for the others.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from services.common.chat import Tool
from services.inference_worker.chat.formats import Format, Tags, ValueStyle
from services.inference_worker.chat.values import declared_types
from services.inference_worker.grammar import raw
from services.inference_worker.grammar.braced import Braced
from services.inference_worker.grammar.braced import key as braced_key
from services.inference_worker.grammar.lark import Lark, either, literal
from services.inference_worker.grammar.members import members
from services.inference_worker.grammar.schema import (
    Parameters,
    Schema,
    SchemaError,
    loosened,
    parameters,
    parse,
)

_BLANK_ENDS = (" ", "\t", "\r", "\n")
_IDENTITY = "/[A-Za-z0-9_-]{1,40}/"
_PYTHON_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PYTHON_ESCAPES = 'nrt\\"'
_BARELY_TYPED = frozenset(("type", "title", "description", "default", "examples"))
# Styles in which several calls may stand between one opener and its closer.
_RUNS = frozenset((ValueStyle.JSON_OBJECT, ValueStyle.TYPED_XML))
# Stands for the whole of the arguments, where names of parameters stand for parts; no JSON has such a key.
WHOLE = "\ud800"
_FREE_NAME = "/[A-Za-z_][A-Za-z0-9_-]{0,63}/"


@dataclass(frozen=True, slots=True)
class Offer:
    """One tool as grammars see it.

    strict: what it says is held to the letter; otherwise what cannot be held of it is left open.
    loose: parameters of which only the types are held; WHOLE for the object itself.
    """

    name: str
    root: Schema
    parameters: Parameters
    strict: bool
    loose: frozenset[str] = frozenset()

    def schema(self, parameter: str) -> Schema:
        schema = self.parameters.properties[parameter]
        return loosened(schema) if parameter in self.loose else schema


def offer(tool: Tool) -> Offer:
    """To be held to the letter. Raises SchemaError: no schema of an object."""
    root = parse(tool.parameters_json)
    return Offer(tool.name, root, parameters(root), strict=True)


def unheld(name: str) -> Offer:
    """A tool of which nothing is held but that its arguments are an object."""
    return Offer(name, {"type": "object"}, Parameters({}, frozenset(), free=True), strict=False)


class CallGrammar:
    """Expressions for calls in one grammar."""

    def __init__(self, lark: Lark, format: Format, offers: Sequence[Offer], parallel: bool) -> None:
        self._lark = lark
        self._format = format
        self._offers = offers
        self._parallel = parallel
        self._blanks = lark.blanks

    def block(self, tags: Tags, close: str) -> str:
        """What stands behind `tags.open`, up to the end of `close`."""
        if self._format.style is ValueStyle.LINES:
            return f'" "? {self._items(tags)}'
        if self._format.style is ValueStyle.NAMED_JSON:
            # Readers of names look for them right behind the marker.
            return f"{self._items(tags)} {self._closing(close)}"
        return self._between("", self._items(tags), close)

    def addressed(self, channel: str = "") -> str:
        """What stands behind the words that give a message a recipient; `channel` if it comes after them."""
        form = self._format
        kind = f"({literal(' <|constrain|>json')} | {literal(' json')} | {literal('<|constrain|>json')})?"
        heads = [
            f"{literal(form.name_prefix + offer.name + channel)} {kind} {literal('<|message|>')} "
            f"{self._blanks} {self.arguments(offer)}"
            for offer in self._offers
        ]
        return either(heads)

    def function(self, close: str) -> str:
        """What stands behind the opener of a function that no call's opener announced, up to the end of
        `close`: models that leave out the opener of a call do not leave out its closer."""
        write = self._typed_xml if self._format.style is ValueStyle.TYPED_XML else self._named_json
        return f"{either([write(offer, announced=False) for offer in self._offers])} {self._closing(close)}"

    def _items(self, tags: Tags) -> str:
        call = self._call()
        if not self._format.array or tags not in (self._format.call, *self._format.further_calls):
            return call + self._run(call, tags)
        more = f'({self._blanks} "," {self._blanks} {call})*' if self._parallel else ""
        return f'"[" {self._blanks} {call} {more} {self._blanks} "]"'

    def _run(self, call: str, tags: Tags) -> str:
        """Further calls behind the first one, where the format has them in one block."""
        form, blanks = self._format, self._blanks
        if not self._parallel or form.style not in _RUNS or not (form.separators or tags.close):
            return ""
        between = f"{blanks} {literal(form.separators[0])} {blanks}" if form.separators else blanks
        return f" ({between} {call})*"

    def _call(self) -> str:
        match self._format.style:
            case ValueStyle.JSON_OBJECT:
                return self._json_object()
            case ValueStyle.NAMED_JSON | ValueStyle.LINES:
                return either([self._named_json(offer) for offer in self._offers])
            case ValueStyle.TYPED_XML:
                return either([self._typed_xml(offer) for offer in self._offers])
            case ValueStyle.KEYED_XML:
                return either([self._keyed_xml(offer) for offer in self._offers])
            case ValueStyle.BRACED:
                return either([self._braced(offer) for offer in self._offers])
            case ValueStyle.PYTHON:
                return either([self._python(offer) for offer in self._offers])
        raise SchemaError(f"calls of the format {self._format.name} cannot be constrained")

    # -- one JSON object -------------------------------------------------------------------------

    def _json_object(self) -> str:
        form, blanks = self._format, self._blanks
        calls = [
            f'{_quoted(offer.name)} {blanks} "," {blanks} {_quoted(form.arguments_keys[0])} {blanks} ":" '
            f"{blanks} {self.arguments(offer)}"
            for offer in self._offers
        ]
        named = f'{_quoted(form.name_keys[0])} {blanks} ":" {blanks} {either(calls)}'
        return self._lark.rule(f'"{{" {blanks} {named} {blanks} "}}"')

    def arguments(self, offer: Offer) -> str:
        """The arguments as one JSON object: in any order where the schema is no more than a list."""
        known, lenient = offer.parameters, not offer.strict
        if known.free or not known.complete:
            return self._lark.json(loosened(offer.root) if WHOLE in offer.loose else offer.root, lenient)
        blanks = self._blanks
        found = []
        for name in known.properties:
            value = self._lark.json(offer.schema(name), lenient)
            found.append((f'{_quoted(name)} {blanks} ":" {blanks} {value} {blanks}', name in known.required))
        inside = members(self._lark, found, f'"," {blanks}', '"}"')
        return self._lark.rule(f'"{{" {blanks} {inside}')

    # -- a name, then JSON -----------------------------------------------------------------------

    def _named_json(self, offer: Offer, announced: bool = True) -> str:
        form = self._format
        lines = form.style is ValueStyle.LINES
        identity = ""
        if form.identity.open:
            close = literal(form.identity.close) if form.identity.close else ""
            identity = f"({literal(form.identity.open)} {self._lark.terminal(_IDENTITY)} {close})?"
        head = literal((form.function.open if announced else "") + form.name_prefix + offer.name)
        behind = literal(form.function.close) if form.function.close else ""
        arguments = self._between(form.arguments.open, self.arguments(offer), form.arguments.close)
        if lines:
            arguments = f'{literal(form.arguments.open)} " "? {self.arguments(offer)}'
        gap = "" if form.function.close.endswith(_BLANK_ENDS) else self._blanks
        return self._lark.rule(f"{head} {identity} {behind} {gap if form.arguments.open else ''} {arguments}")

    # -- markers around everything ---------------------------------------------------------------

    def _typed_xml(self, offer: Offer, announced: bool = True) -> str:
        form = self._format
        ends = raw.Ends(
            form.parameter_close,
            (form.parameter.open, form.function_close, form.call.close, form.call.open, form.function.open),
            ((form.function_close, (form.call.close,)),),
        )
        head = literal((form.function.open if announced else "") + offer.name + form.function.close)
        return self._lark.rule(f"{head} {self._markup(offer, ends, form.function_close)}")

    def _keyed_xml(self, offer: Offer) -> str:
        form = self._format
        ends = raw.Ends(
            form.value.close,
            (form.parameter.open, form.call.close, form.call.open),
            ((form.call.close, (form.call.close,)),),
            newline=False,
        )
        return self._lark.rule(f"{literal(offer.name)} {self._markup(offer, ends, '')}")

    def _markup(self, offer: Offer, ends: raw.Ends, close: str) -> str:
        known, blanks = offer.parameters, self._blanks
        self._refuse_more_than_a_list(offer)
        if known.free:
            return self._free_markup(ends, close)
        found = []
        for name in known.properties:
            text, other = raw.value(self._lark, offer.schema(name), ends, not offer.strict)
            body = self._parameter(name, text, other)
            found.append((f"{blanks} {body}", name in known.required))
        return members(self._lark, found, "", f"{blanks} {literal(close)}" if close else '""')

    def _parameter(self, name: str, text: str, other: str) -> str:
        form = self._format
        if form.string_attribute:
            head = form.parameter.open + name + form.string_attribute
            options = [
                f"{literal(head + told + form.parameter.close)} {value}"
                for told, value in (("true", text), ("false", other))
                if value
            ]
            return either(options)
        head = literal(form.parameter.open + name + form.parameter.close)
        if form.value.open:
            head += f" {self._blanks} {literal(form.value.open)}"
        return f"{head} {either([value for value in (text, other) if value])}"

    def _free_markup(self, ends: raw.Ends, close: str) -> str:
        """Parameters of any names: that none comes twice is left to the model."""
        form = self._format
        text, other = raw.value(self._lark, {}, ends, lenient=True)
        head = f"{literal(form.parameter.open)} {self._lark.terminal(_FREE_NAME)}"
        if form.string_attribute:
            head += f" {literal(form.string_attribute + 'true')}"
        head += f" {literal(form.parameter.close)}"
        if form.value.open:
            head += f" {self._blanks} {literal(form.value.open)}"
        value = text if form.string_attribute else either([text, other])
        return f"({self._blanks} {head} {value})* " + (f"{self._blanks} {literal(close)}" if close else "")

    # -- notations of their own ------------------------------------------------------------------

    def _braced(self, offer: Offer) -> str:
        form, known = self._format, offer.parameters
        self._refuse_more_than_a_list(offer)
        head = literal(form.function.open + form.name_prefix + offer.name + "{")
        if known.free:
            values = Braced(self._lark, form.value, {}, lenient=True)
            return f"{head} {values.inside_of_any()}"
        found = []
        for name in known.properties:
            schema = offer.schema(name)
            value = Braced(self._lark, form.value, schema, not offer.strict).value(schema)
            found.append((f"{literal(braced_key(name) + ':')} {value}", name in known.required))
        return self._lark.rule(f"{head} {members(self._lark, found, literal(','), literal('}'))}")

    def _python(self, offer: Offer) -> str:
        """JSON's notation of a value is one of Python's too, but for some escapes; its words are known."""
        known, lenient = offer.parameters, not offer.strict
        self._refuse_more_than_a_list(offer)
        found = []
        for name in known.properties:
            if not _PYTHON_NAME.fullmatch(name):
                if name in known.required:
                    raise SchemaError(f"{name} is no name that Python has for an argument")
                continue
            schema = offer.schema(name)
            values = [self._lark.json(schema, lenient, escapes=_PYTHON_ESCAPES)]
            if schema.keys() <= _BARELY_TYPED:
                types = declared_types(schema, schema)
                values += ['"True"', '"False"'] if "boolean" in types else []
                values += ['"None"'] if "null" in types else []
            found.append((f"{literal(name + '=')} {either(values)}", name in known.required))
        inside = members(self._lark, found, f'"," {self._blanks}', '")"')
        return self._lark.rule(f"{literal(offer.name + '(')} {inside}")

    def _refuse_more_than_a_list(self, offer: Offer) -> None:
        if offer.strict and (offer.parameters.free or not offer.parameters.complete):
            raise SchemaError("it is no mere list of parameters, which is all that this model's calls hold")

    def _between(self, open: str, body: str, close: str) -> str:
        """`body` between markers, with blanks beside it where a marker has none of its own."""
        before = literal(open) if open else ""
        gap = "" if open.endswith(_BLANK_ENDS) else self._blanks
        return f"{before} {gap} {body} {self._closing(close)}"

    def _closing(self, close: str) -> str:
        gap = "" if close.startswith(_BLANK_ENDS) else self._blanks
        return f"{gap} {literal(close)}" if close else ""


def _quoted(text: str) -> str:
    """An expression for `text` as a JSON string."""
    return literal(literal(text))

"""Values as they stand in braces: keys bare, texts raw between markers of their own, everything else bare."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence

from services.inference_worker.chat.formats import Tags
from services.inference_worker.chat.values import declared_types
from services.inference_worker.grammar.lark import Lark, either, escape, literal
from services.inference_worker.grammar.members import Member, members
from services.inference_worker.grammar.schema import Schema, SchemaError, target

_BARE_KEY = re.compile(r"[\w$@/-]+")
_FREE_KEY = r"/[A-Za-z_][A-Za-z0-9_]{0,63}/"
_MOST_ITEMS = 1000
# What stands beside a choice without narrowing it.
_NOTES = frozenset(("title", "description", "default", "examples", "deprecated", "nullable", "$defs", "type"))
_OF_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")


def key(name: str) -> str:
    """How a key is written."""
    return name if _BARE_KEY.fullmatch(name) else json.dumps(name, ensure_ascii=False)


class Braced:
    """Expressions for values of one root schema. Raises SchemaError for what cannot be held."""

    def __init__(self, lark: Lark, marks: Tags, root: Schema, lenient: bool) -> None:
        self._lark = lark
        self._marks = marks
        self._root = root
        self._lenient = lenient
        self._rules: dict[str, str] = {}

    def value(self, schema: object) -> str:
        """An expression for a value that fits `schema`."""
        if schema is True or not isinstance(schema, Mapping):
            return self._anything()
        if isinstance(reference := schema.get("$ref"), str):
            return self._referred(reference)
        if "const" in schema:
            return self._literal(schema["const"])
        if isinstance(values := schema.get("enum"), list) and values:
            return either([self._literal(each) for each in values])
        for choice in ("anyOf", "oneOf"):
            if isinstance(choices := schema.get(choice), list) and choices:
                self._refuse_beside(schema, choice)
                return either([self.value(each) for each in choices])
        if isinstance(parts := schema.get("allOf"), list) and parts:
            if len(parts) > 1 and not self._lenient:
                raise SchemaError("allOf of several schemas cannot be held in braces")
            return self.value(parts[0])
        types = declared_types(schema, self._root)
        if len(types) > 5:
            return self._anything()
        return either([self._typed(kind, schema) for kind in sorted(types)])

    def _typed(self, kind: str, schema: Schema) -> str:
        match kind:
            case "string":
                return self._text(schema)
            case "object":
                return self._object(schema)
            case "array":
                return self._array(schema)
            case "boolean":
                return '("true" | "false")'
            case "null":
                return '"null"'
        numbers = {name: schema[name] for name in _OF_NUMBERS if name in schema}
        return self._lark.json({"type": kind, **numbers}, self._lenient)

    def _text(self, schema: Schema) -> str:
        if "pattern" in schema and not self._lenient:
            raise SchemaError("a pattern cannot be held in a text without escapes")
        least, most = schema.get("minLength", 0), schema.get("maxLength", "")
        close = escape(self._marks.close)
        body = f"(?s:.{{{least},{most}}})" if least or most != "" else "(?s:.*)"
        # Without the marker inside: with a least length the first one would not end the text.
        whole = self._lark.terminal(f"/{body}{close}/ & ~/(?s:.*){close}(?s:.+)/")
        return f"{literal(self._marks.open)} {self._lark.rule(whole, 'lazy')}"

    def _object(self, schema: Schema) -> str:
        properties = schema.get("properties")
        if not isinstance(properties, Mapping) or not properties:
            if schema.get("additionalProperties", True) is False:
                return '"{}"'
            return self._map(schema.get("additionalProperties", True))
        required = schema.get("required", [])
        found: list[Member] = [
            (f"{literal(key(name) + ':')} {self.value(each)}", name in required)
            for name, each in properties.items()
            if each is not False
        ]
        return self._lark.rule(f'"{{" {members(self._lark, found, literal(","), literal("}"))}')

    def _map(self, values: object) -> str:
        name = "any" if values is True else json.dumps(values, sort_keys=True)
        return self._once(f"map {name}", lambda: self._map_body(values))

    def inside_of_any(self) -> str:
        """The members of an object of any kind and the brace behind them."""
        return f"{self._members(True)} {literal('}')}"

    def _members(self, values: object) -> str:
        member = f'{self._lark.terminal(_FREE_KEY)} ":" {self.value(values)}'
        return f'({member} ("," {member})*)?'

    def _map_body(self, values: object) -> str:
        return f'"{{" {self._members(values)} "}}"'

    def _array(self, schema: Schema) -> str:
        item = self.value(schema.get("items", True))
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        if not isinstance(least, int) or not (most is None or isinstance(most, int)):
            raise SchemaError("minItems and maxItems must be whole numbers")
        if most == 0:
            return '"[]"'
        more = f"{{{max(least - 1, 0)},{'' if most is None else min(most, _MOST_ITEMS) - 1}}}"
        some = f'{item} ("," {item}){more}'
        return self._lark.rule(f'"[" {some} "]"' if least else f'"[" ({some})? "]"')

    def _anything(self) -> str:
        return self._once("any", self._anything_body)

    def _anything_body(self) -> str:
        kinds = ("string", "number", "boolean", "null", "array")
        return " | ".join([*(self._typed(kind, {}) for kind in kinds), self._map(True)])

    def _referred(self, reference: str) -> str:
        return self._once(f"ref {reference}", lambda: self.value(target(reference, self._root)))

    def _once(self, what: str, body: Callable[[], str]) -> str:
        """A rule that may refer to itself."""
        if what not in self._rules:
            name = self._rules[what] = self._lark.fresh("b")
            self._lark.define(name, body())
        return self._rules[what]

    def _literal(self, value: object) -> str:
        return literal(self._written(value))

    def _written(self, value: object) -> str:
        if isinstance(value, str):
            return self._marks.open + value + self._marks.close
        if isinstance(value, Mapping):
            return "{" + ",".join(f"{key(name)}:{self._written(each)}" for name, each in value.items()) + "}"
        if isinstance(value, Sequence):
            return "[" + ",".join(map(self._written, value)) + "]"
        return json.dumps(value)

    def _refuse_beside(self, schema: Schema, choice: str) -> None:
        if not self._lenient and (beside := schema.keys() - _NOTES - {choice}):
            raise SchemaError(f"{', '.join(sorted(beside))} beside {choice} cannot be held in braces")

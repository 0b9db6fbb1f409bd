"""Values that are written as raw text between markers, as the readers of such formats take them apart.

A text may contain anything but what a reader would take for the end of the value; the end that counts for the
grammar is, where templates break lines, the closing marker with a newline behind it, so that a marker inside
a line stays text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.inference_worker.chat.values import STRING, declared_types
from services.inference_worker.grammar.lark import Lark, either, escape, literal
from services.inference_worker.grammar.schema import Schema, SchemaError, target

_ANYTHING = "(?s:.*)"
_BLANKS = r"[ \t\r\n]*"
_DEEPEST = 16
# Texts that readers take for values of these types, where the schema allows them beside texts.
_LOOKS_LIKE = {
    "null": "null|None",
    "boolean": "[tT][rR][uU][eE]|[fF][aA][lL][sS][eE]",
    "integer": r"-?[0-9]+(\.0+)?",
    "number": r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?",
    "object": r"\{(?s:.*)",
    "array": r"\[(?s:.*)",
}


@dataclass(frozen=True, slots=True)
class Ends:
    """close: the closing marker. structure: what makes it count as one when it follows behind blanks.
    others: further pairs (marker, what makes it count).
    newline: the closing marker counts only with a newline behind it.
    """

    close: str
    structure: Sequence[str]
    others: Sequence[tuple[str, Sequence[str]]] = ()
    newline: bool = True

    @property
    def closing(self) -> str:
        """The closing marker as a regular expression."""
        return escape(self.close) + ("\\n" if self.newline else "")

    @property
    def mistaken(self) -> str:
        """A regular expression for texts in which a reader would see an end of the value."""
        pairs = ((self.close, self.structure), *self.others)
        options = [
            f"{escape(close)}{_BLANKS}({'|'.join(escape(each) for each in following if each)})"
            for close, following in pairs
            if close and any(following)
        ]
        return f"{_ANYTHING}({'|'.join(options)}){_ANYTHING}"


def value(lark: Lark, schema: Schema, ends: Ends, lenient: bool) -> tuple[str, str]:
    """Expressions for a text and for a value of another type, each with its closing marker; "" for none.

    Raises SchemaError for what cannot be held and is not `lenient`.
    """
    types = declared_types(schema, schema)
    text = _text(lark, schema, types, ends, lenient) if types & STRING else ""
    other = ""
    if others := types - STRING:
        narrowed = schema if not text else _without_texts(schema, others)
        written = lark.json(narrowed, lenient)
        # A value that begins on a line of its own ends on one.
        other = f"({written} | {literal(chr(10))} {written} {literal(chr(10))}) {literal(ends.close)}"
    return text, other


def _without_texts(schema: Schema, types: frozenset[str]) -> Schema:
    rest = {key: each for key, each in schema.items() if key not in ("type", "enum", "anyOf", "oneOf")}
    narrowed: dict[str, Any] = {**rest, "type": sorted(types)}
    if isinstance(values := schema.get("enum"), list):
        narrowed["enum"] = [each for each in values if not isinstance(each, str)]
    for key in ("anyOf", "oneOf"):
        if isinstance(choices := schema.get(key), list):
            kept = [c for c in choices if declared_types(c, schema) - STRING]
            narrowed[key] = [
                _without_texts(c, declared_types(c, schema) - STRING)
                if isinstance(c, Mapping) and declared_types(c, schema) & STRING
                else c
                for c in kept
            ]
            del narrowed["type"]
    return narrowed


def _text(lark: Lark, schema: Schema, types: frozenset[str], ends: Ends, lenient: bool) -> str:
    bodies = _bodies(schema, schema, lenient, 0)
    if not bodies:
        return ""
    looks = "|".join(_LOOKS_LIKE[kind] for kind in sorted(types - STRING))
    conditions = [f"~/{ends.mistaken}/"]
    if looks:
        conditions.append(f"~/{_BLANKS}({looks}){_BLANKS}{ends.closing}/")
    closing = ends.closing
    # On lines of its own, or in the line of its markers: then no newline of it can be one of the markup's.
    inline = either([f"({body} & ~/\\n{_ANYTHING}/ & ~/{_ANYTHING}\\n/)" for body in bodies])
    options = [f"(/\\n/ {either(bodies)} /\\n{closing}/)", f"({inline} /{closing}/)"]
    if any(body == f"/{_ANYTHING}/" for body in bodies):
        options.append(f"/\\n{closing}/")
    whole = " & ".join([f"({' | '.join(options)})", *conditions])
    return lark.rule(lark.terminal(whole), "lazy")


def _bodies(schema: object, root: Schema, lenient: bool, depth: int) -> list[str]:
    """Regular expressions for the texts that `schema` allows."""
    if depth > _DEEPEST:
        raise SchemaError("its references go round in circles")
    if not isinstance(schema, Mapping):
        return [] if schema is False else [f"/{_ANYTHING}/"]
    if "string" not in declared_types(schema, root):
        return []
    if "const" in schema or isinstance(schema.get("enum"), list):
        values = [schema["const"]] if "const" in schema else schema["enum"]
        return [f"/{escape(each)}/" for each in values if isinstance(each, str) and each]
    if isinstance(reference := schema.get("$ref"), str):
        return _bodies(target(reference, root), root, lenient, depth + 1)
    for key in ("anyOf", "oneOf"):
        if isinstance(choices := schema.get(key), list) and choices:
            return [body for each in choices for body in _bodies(each, root, lenient, depth + 1)]
    return [_free_text(schema, lenient)]


def _free_text(schema: Schema, lenient: bool) -> str:
    if not lenient and (unknown := {"allOf", "not", "if"} & schema.keys()):
        raise SchemaError(f"{', '.join(sorted(unknown))} beside a text cannot be held")
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    conditions = []
    if isinstance(pattern := schema.get("pattern"), str):
        if (held := searched(pattern)) is not None:
            conditions.append(held)
        elif not lenient:
            raise SchemaError(f"the pattern {pattern!r} cannot be held")
    if least or most is not None:
        conditions.append(f"/(?s:.{{{least},{'' if most is None else most}}})/")
    return f"({' & '.join(conditions)})" if len(conditions) > 1 else (conditions or [f"/{_ANYTHING}/"])[0]


def searched(pattern: str) -> str | None:
    """A terminal for texts in which `pattern` is found; None where its anchors cannot be told."""
    begins, ends = pattern.startswith("^"), pattern.endswith("$") and not pattern.endswith("\\$")
    core = pattern[begins : len(pattern) - ends]
    bare = core.replace("\\\\", "").replace("\\^", "").replace("\\$", "").replace("[^", "[")
    if "^" in bare or "$" in bare or ("|" in core and (begins or ends)) or "(?" in bare.replace("(?:", ""):
        return None
    core = core.replace("\\/", "/").replace("/", "\\/").replace("\n", "\\n")
    return f"/{'' if begins else _ANYTHING}({core}){'' if ends else _ANYTHING}/"

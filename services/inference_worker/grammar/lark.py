"""Writes grammars in llguidance's dialect of Lark."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

# Blanks are bounded everywhere: models like to fill what is left of an answer with them.
BLANK = r"[ \t\r\n]{1,64}"
# Which tokens spell a text that must come is the model's choice.
OPTIONS = '%llguidance { "no_forcing": true }'
_META = re.compile(r"[\\.+*?()|\[\]{}^$#&~/-]")


def literal(text: str) -> str:
    """An expression for exactly `text`, which is not empty."""
    return json.dumps(text, ensure_ascii=False)


def escape(text: str) -> str:
    """`text` as a piece of a regular expression between slashes."""
    return _META.sub(r"\\\g<0>", text).replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")


def either(options: Sequence[str]) -> str:
    """An expression for one of `options`."""
    return options[0] if len(options) == 1 else "(" + " | ".join(options) + ")"


class Lark:
    """A grammar in the making; `rule` and `terminal` give back the name by which what they define is used."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._known: dict[tuple[str, ...], str] = {}
        self._count = 0
        self.blanks = self.terminal(f"/{BLANK}/") + "?"

    def rule(self, body: str, options: str = "") -> str:
        """`options` as Lark has them in brackets, such as `lazy`. Equal rules are written once."""
        return self._define("r", body, f"[{options}]" if options else "")

    def terminal(self, body: str) -> str:
        return self._define("T", body, "")

    def family(self, alternatives: Sequence[tuple[str, str]], name: str = "") -> str:
        """A rule with a parameter: (body, condition) each; give `name` where bodies refer to it."""
        name = name or self.fresh("p")
        lines = [f"{body} %if {condition}" if condition else body for body, condition in alternatives]
        self._lines.append(f"{name}::_: " + "\n    | ".join(lines))
        return name

    def fresh(self, prefix: str) -> str:
        """A name that was not used before."""
        self._count += 1
        return f"{prefix}{self._count}"

    def define(self, name: str, body: str) -> None:
        """A rule of a `fresh` name, which may stand in its own body."""
        self._lines.append(f"{name}: {body}")

    def json(self, schema: Mapping[str, object], lenient: bool, escapes: str = "") -> str:
        """A JSON value that fits `schema`. `lenient`: what llguidance does not know of it is left open.

        `escapes`: the letters that may stand behind a backslash, if not all of JSON's.
        """
        options: dict[str, object] = {"whitespace_pattern": BLANK, "lenient": lenient}
        if escapes:
            options["json_allowed_escapes"] = escapes
        told = {**schema, "x-guidance": options}
        return self.rule("%json " + json.dumps(told, ensure_ascii=False))

    def text(self, start: str) -> str:
        """The whole grammar, beginning with the expression `start`."""
        return "\n".join((OPTIONS, f"start: {start}", *self._lines)) + "\n"

    def _define(self, prefix: str, body: str, options: str) -> str:
        key = (prefix, body, options)
        name = self._known.get(key)
        if name is None:
            name = self._known[key] = self.fresh(prefix)
            self._lines.append(f"{name}{options}: {body}")
        return name

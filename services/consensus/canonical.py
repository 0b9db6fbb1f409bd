"""Two candidates propose the same when the canonical forms of their calls are equal. Pure.

Canonical: arguments valid by the tool's JSON Schema, keys sorted, 1.0 written as 1, without what does not
act (call ids, and `description` where the tool has other parameters). `./a` is `a` where a tool for files
takes a path, and an edit of a file that the conversation shows is the text that comes of it. The order of
calls counts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.common.chat import Message, Tool, ToolCall
from services.common.errors import invalid
from services.common.json_schema import SchemaCheck, schema_check
from services.common.json_values import object_of, parse_object
from services.common.text import shorten
from services.consensus.edits import edit_of, outcome, path_argument, plain_path
from services.consensus.listings import Files, files_in
from services.consensus.strategies.risk import Risk, plain_name, risk_of
from services.consensus.terms import Terms, acting

# By their plain names: the argument that is named like a path is one.
_FILE_TOOLS = frozenset({
    "read", "readfile", "write", "writefile", "edit", "editfile", "multiedit", "strreplace", "replace",
    "list", "ls", "listdirectory", "glob", "grep",
})  # fmt: skip
_SUMMARY_LENGTH = 400
_PROBLEM_LENGTH = 300


class InvalidCallError(ValueError):
    """The text says for people what is wrong with the call."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """`key` is the SHA-256 of the canonical calls in hex; `summary` is their JSON for people, cut if long.

    `risk` is the highest of the calls' and follows from the key.
    """

    key: str
    summary: str
    risk: Risk


class Toolbox:
    """The tools that a request offers."""

    def __init__(
        self, tools: Sequence[Tool], terms: Terms | None = None, messages: Sequence[Message] = ()
    ) -> None:
        """`messages`: the conversation before, which may show the files that are edited.

        Raises SwarmError INVALID_FIELD naming the tool whose schema is none.
        """
        self.terms = Terms() if terms is None else terms
        self._messages = messages
        self._shown: Files | None = None
        self._checks: dict[str, SchemaCheck] = {}
        for number, tool in enumerate(tools):
            param = f"tools[{number}].function"
            try:
                self._checks[tool.name] = schema_check(tool.parameters_json)
            except ValueError as error:
                raise invalid(f"{param}.parameters", f"tool {tool.name!r}: {error}") from error

    def canonical(self, calls: Sequence[ToolCall]) -> Proposal:
        """Raises InvalidCallError when a call is of no offered tool, or its arguments do not fit."""
        written = [(call.name, self._acting(call)) for call in calls]
        risk = max((risk_of(*each, self.terms.classes) for each in written), default=Risk.READING)
        summary = _summary([{"name": name, "arguments": arguments} for name, arguments in written])
        return Proposal(_key(self._forms(written)), summary, risk)

    def as_written(self, calls: Sequence[ToolCall], problem: str) -> Proposal:
        """Of calls that no schema accepts: equal where names and arguments are. `problem` is for people."""
        risks = (risk_of(call.name, object_of(call.arguments_json), self.terms.classes) for call in calls)
        return Proposal(key_as_written(calls), problem, max(risks, default=Risk.READING))

    def offers(self, name: str) -> bool:
        return name in self._checks

    def problem(self, call: ToolCall) -> str | None:
        """What is wrong with the call, for people and for the model that made it; None: nothing."""
        try:
            self._arguments(call)
        except InvalidCallError as error:
            return shorten(str(error), _PROBLEM_LENGTH)
        return None

    def _arguments(self, call: ToolCall) -> dict[str, Any]:
        check = self._checks.get(call.name)
        if check is None:
            raise InvalidCallError(f"{shorten(call.name, 60)}: no such tool was offered")
        try:
            arguments = parse_object(call.arguments_json)
        except (ValueError, RecursionError) as error:
            raise InvalidCallError(f"{call.name}: arguments are no JSON object ({error})") from error
        if (problem := check.problem(arguments)) is not None:
            raise InvalidCallError(f"{call.name}: {problem}")
        return arguments

    def _acting(self, call: ToolCall) -> dict[str, Any]:
        arguments = self._arguments(call)
        return acting(call.name, arguments, self._checks[call.name].properties, self.terms)

    def _forms(self, written: Sequence[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
        files = self._files() if any(edit_of(*each) for each in written) else Files()
        forms = []
        for name, arguments in written:
            forms.append(_form(name, arguments, files))
            files.after(name, arguments)
        return forms

    def _files(self) -> Files:
        """What the conversation shows of files, for one set of calls to go on from."""
        if self._shown is None:
            self._shown = files_in(self._messages, self.terms.classes)
        return self._shown.copy()


def _form(name: str, arguments: dict[str, Any], files: Files) -> dict[str, Any]:
    if (edit := edit_of(name, arguments)) is not None:
        lines = files.get(edit.path)
        result = None if lines is None else outcome(edit, lines)
        if result is None:
            return {"name": name, "edit": [edit.path, edit.old, edit.new, edit.everywhere]}
        return {"name": name, "edited": edit.path, "result": result}
    where = path_argument(arguments) if plain_name(name) in _FILE_TOOLS else None
    plain = arguments if where is None else {**arguments, where: plain_path(arguments[where])}
    return {"name": name, "arguments": plain}


def key_as_written(calls: Sequence[ToolCall]) -> str:
    """The key of calls that no schema accepts: equal where names and arguments are."""
    return _key([{"name": call.name, "arguments": _as_written(call.arguments_json)} for call in calls])


def _as_written(arguments_json: str) -> dict[str, Any] | str:
    parsed = object_of(arguments_json)
    return arguments_json if parsed is None else parsed


def _key(forms: Sequence[Mapping[str, Any]]) -> str:
    # ASCII only: lone surrogates are legal in JSON and cannot be encoded otherwise.
    text = json.dumps(forms, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _summary(forms: Sequence[Mapping[str, Any]]) -> str:
    return shorten(
        "; ".join(
            f"{form['name']} {json.dumps(form['arguments'], sort_keys=True, ensure_ascii=False)}"
            for form in forms
        ),
        _SUMMARY_LENGTH,
    )

"""Grammars of whole answers: JSON, a schema, or what the client wrote itself."""

from __future__ import annotations

import json
from typing import Any

from llguidance.gbnf_to_lark import gbnf_to_lark

from services.common.chat import ResponseFormat, ResponseKind
from services.common.errors import invalid, unsupported
from services.inference_worker.chat.formats import Format, Routing
from services.inference_worker.grammar.blocks import Blocks
from services.inference_worker.grammar.lark import BLANK, OPTIONS, Lark, escape, literal
from services.inference_worker.grammar.schema import SchemaError, parse

_ANSWER = "answer"
# Behind reasoning they are markup and no part of the answer.
_LINE_ENDS = r"/[\r\n]{1,8}/"


def answer_grammar(format: Format, wanted: ResponseFormat, reasoning_open: bool, calls: Blocks | None) -> str:
    """The grammar of an answer as `wanted`, or of calls instead; reasoning may come before it.

    Raises SwarmError INVALID_FIELD: no schema, no grammar; UNSUPPORTED_PARAMETER for a format whose answers
    have headers.
    """
    if format.routing is not Routing.NONE:
        raise unsupported(
            "response_format",
            f"answers of the format {format.name} have headers; they cannot be held as a whole",
        )
    lark = Lark()
    before = _reasoning(lark, format, reasoning_open)
    if wanted.kind in (ResponseKind.GBNF, ResponseKind.LARK):
        top = lark.text(f"{before} @{_ANSWER}")
        return json.dumps(
            {"grammars": [{"lark_grammar": top}, {"name": _ANSWER, "lark_grammar": _written(wanted)}]}
        )
    answer = lark.rule("%json " + json.dumps(_schema(wanted), ensure_ascii=False))
    if calls is not None:
        answer = f"({answer} | {calls.alternative(lark)})"
    return lark.text(f"{before} {answer} {lark.blanks}")


def _reasoning(lark: Lark, format: Format, opened: bool) -> str:
    if format.reasoning is None:
        return ""
    body = lark.rule(f"/(?s:.*){escape(format.reasoning.close)}/", "lazy")
    behind = f"{body} {lark.terminal(_LINE_ENDS)}?"
    return behind if opened else f"({literal(format.reasoning.open)} {behind})?"


def _schema(wanted: ResponseFormat) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"}
    if wanted.kind is ResponseKind.JSON_SCHEMA:
        try:
            schema = dict(parse(wanted.schema_json or "null"))
        except SchemaError as error:
            raise invalid("response_format", f"response_format.json_schema.schema: {error}") from error
    return {**schema, "x-guidance": {"whitespace_pattern": BLANK}}


def _written(wanted: ResponseFormat) -> str:
    if wanted.kind is ResponseKind.LARK:
        return f"{OPTIONS}\n{wanted.grammar}"
    try:
        return f"{OPTIONS}\n{gbnf_to_lark(wanted.grammar)}"
    except Exception as error:
        raise invalid("grammar", f"grammar: it is no GBNF: {error}") from error

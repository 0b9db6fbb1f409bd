"""Whether a call fits the tools that were offered: what a text that may be prose needs to count as a call."""

from __future__ import annotations

import json

from services.common.json_schema import schema_check


def fits(arguments_json: str, schema_json: str) -> bool:
    """Whether the JSON text of an arguments object fits a tool's JSON schema.

    Arguments that cannot be held against the schema (neither of them need be sound) do not fit.
    """
    try:
        arguments = json.loads(arguments_json)
        check = schema_check(schema_json)
    except (ValueError, RecursionError):
        return False
    return isinstance(arguments, dict) and check.problem(arguments) is None

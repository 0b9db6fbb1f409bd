"""Whether a candidate's answer is what an item asks for. Pure; code is only prepared to be run elsewhere."""

from __future__ import annotations

import json
import re
from typing import Any

from services.consensus.drafts import Draft
from services.consensus.trial.items import Expected, Function, Number, OneCall, Quotes

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_FENCE = re.compile(r"```[a-zA-Z0-9_+-]*\n(.*?)```", re.DOTALL)
PASSED = "all results are right"


def right(expected: Expected, draft: Draft) -> bool | None:
    """None: its code must be run (`program`) to know."""
    if not draft.whole or draft.cut_off:
        return False
    match expected:
        case OneCall():
            return _is_call(expected, draft)
        case Quotes(texts):
            return not draft.calls and all(text in draft.content for text in texts)
        case Number(value):
            numbers = _NUMBER.findall(draft.content.replace(",", ""))
            return not draft.calls and bool(numbers) and float(numbers[-1]) == value
        case Function():
            return None if code(draft.content, expected.name) else False


def code(content: str, name: str) -> str:
    """The answer's Python text that defines `name`: the first fence that does, or all of it; else empty."""
    for text in [*_FENCE.findall(content), content]:
        if re.search(rf"^def {re.escape(name)}\(", text, re.MULTILINE):
            return str(text)
    return ""


def program(expected: Function, content: str) -> str:
    """A Python program that prints PASSED as its last line if the code in `content` is right."""
    cases = json.dumps([[arguments, result] for arguments, result in expected.cases])
    return (
        f"{code(content, expected.name)}\n"
        f"import json as _json\n"
        f"for _arguments, _result in _json.loads({cases!r}):\n"
        f"    _got = {expected.name}(*_arguments)\n"
        f"    assert type(_got) is type(_result) and _got == _result, (_arguments, _got)\n"
        f"print({PASSED!r})\n"
    )


def same(one: Any, other: Any) -> bool:
    """Equality of JSON values: true is not 1, and 1 is 1.0."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    numbers = isinstance(one, int | float) and isinstance(other, int | float)
    return (numbers or type(one) is type(other)) and bool(one == other)


def _is_call(expected: OneCall, draft: Draft) -> bool:
    if len(draft.calls) != 1 or draft.calls[0].name != expected.name:
        return False
    try:
        got = json.loads(draft.calls[0].arguments_json)
    except (ValueError, RecursionError):
        return False
    if not isinstance(got, dict):
        return False
    wanted = {key: value for key, value in expected.arguments.items() if key not in expected.ignored}
    return same(wanted, {key: value for key, value in got.items() if key not in expected.ignored})

"""What counts as right, and what nearly does."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from services.common.chat import (
    CandidateFinished,
    ContentDelta,
    FinishReason,
    ToolCallArguments,
    ToolCallEnded,
    ToolCallStarted,
)
from services.consensus.drafts import Draft
from services.consensus.trial.checks import PASSED, program, right
from services.consensus.trial.items import Function, Number, OneCall, Quotes, functions

READ = OneCall("read", {"path": "a.py", "limit": 5}, frozenset({"description"}))


def words(text: str, reason: FinishReason = FinishReason.STOP) -> Draft:
    draft = Draft(0, "w")
    draft.add(ContentDelta(0, text))
    draft.add(CandidateFinished(0, reason, 5))
    return draft


def calls(*made: tuple[str, dict[str, Any]], ended: bool = True) -> Draft:
    draft = Draft(0, "w")
    for index, (name, arguments) in enumerate(made):
        draft.add(ToolCallStarted(0, index, f"call_{index}", name))
        draft.add(ToolCallArguments(0, index, json.dumps(arguments)))
        if ended:
            draft.add(ToolCallEnded(0, index))
    draft.add(CandidateFinished(0, FinishReason.TOOL_CALLS, 5))
    return draft


@pytest.mark.parametrize(
    ("draft", "is_right"),
    [
        (calls(("read", {"path": "a.py", "limit": 5})), True),
        (calls(("read", {"limit": 5.0, "path": "a.py", "description": "x"})), True),
        (calls(("read", {"path": "a.py"})), False),
        (calls(("read", {"path": "a.py", "limit": "5"})), False),
        (calls(("read", {"path": "a.py", "limit": 5, "more": 1})), False),
        (calls(("write", {"path": "a.py", "limit": 5})), False),
        (calls(("read", {"path": "a.py", "limit": 5}), ("read", {"path": "a.py", "limit": 5})), False),
        (calls(("read", {"path": "a.py", "limit": 5}), ended=False), False),
        (words("read a.py"), False),
    ],
)
def test_a_call_is_right_to_the_argument(draft: Draft, is_right: bool) -> None:
    assert right(READ, draft) is is_right


def test_true_is_not_one() -> None:
    assert right(OneCall("t", {"a": 1}), calls(("t", {"a": True}))) is False
    assert right(OneCall("t", {"a": [True]}), calls(("t", {"a": [1]}))) is False


def test_an_answer_quotes_everything_and_calls_nothing() -> None:
    assert right(Quotes(("a.py", "7")), words("a.py has 7 lines")) is True
    assert right(Quotes(("a.py", "8")), words("a.py has 7 lines")) is False
    assert right(Quotes(()), calls(("read", {}))) is False
    assert right(Quotes(("a.py",)), words("a.py and", FinishReason.LENGTH)) is False


def test_the_last_number_counts() -> None:
    assert right(Number(1207), words("12 * 100 + 7 = 1,207.")) is True
    assert right(Number(-3), words("-3")) is True
    assert right(Number(3), words("3 or 4")) is False
    assert right(Number(3), words("three")) is False


def run(text: str) -> str:
    done = subprocess.run(
        [sys.executable, "-I", "-"], input=text, capture_output=True, text=True, check=False
    )
    return done.stdout.rstrip().rpartition("\n")[2]


def test_code_is_judged_by_running_it() -> None:
    expected = Function("double", (((2,), 4), (([1],), [1, 1])))
    good = "Here:\n```python\ndef double(x):\n    return x + x\n```\nDone."
    assert right(expected, words(good)) is None
    assert run(program(expected, good)) == PASSED
    assert run(program(expected, "def double(x):\n    return 4")) != PASSED
    # True == 1 in Python; a result of another type is wrong.
    assert run(program(Function("f", (((1,), 1),)), "def f(x):\n    return True")) != PASSED
    assert right(expected, words("I cannot.")) is False


def test_what_the_drawn_functions_ask_for_can_be_done() -> None:
    bodies = {
        "backwards": "    return x[::-1]",
        "letters": "    return x.count({letter!r})",
    }
    tried = 0
    for item in functions(20, 1):
        assert isinstance(item.expected, Function)
        body = bodies.get(item.expected.name)
        if body is None:
            continue
        letter = item.messages[0].content.partition("the letter '")[2][:1]
        answer = f"def {item.expected.name}(x):\n" + body.format(letter=letter)
        assert run(program(item.expected, answer)) == PASSED
        tried += 1
    assert tried >= 2

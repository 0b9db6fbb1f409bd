"""Items: read from files, drawn from a seed, refused with the place of what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.common.chat import Role
from services.consensus.trial.items import (
    BadItemError,
    Function,
    Number,
    OneCall,
    Quotes,
    arithmetic,
    functions,
    read_items,
)

SETS = Path(__file__).parents[4] / "deploy" / "built_in_model" / "sets"


def test_every_item_of_the_built_in_model_s_sets_is_read() -> None:
    items = [
        item
        for name in ("known", "phrasings", "tools", "answers")
        for item in read_items(SETS / f"{name}.jsonl")
    ]
    assert len(items) == 1440
    calls = [item for item in items if isinstance(item.expected, OneCall)]
    assert len(calls) == 1080
    # What is asked for is offered, and the conversation ends with a question or a result.
    assert all(item.expected.name in {tool.name for tool in item.tools} for item in calls)
    assert {item.messages[-1].role for item in items} == {Role.USER, Role.TOOL}
    assert all(item.expected.texts for item in items if isinstance(item.expected, Quotes))


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "[]",
        json.dumps({"id": "a", "messages": [], "expect": {"quotes": ["x"]}}),
        json.dumps({"id": "a", "messages": [{"role": "king", "content": "x"}], "expect": {"quotes": ["x"]}}),
        json.dumps({"id": "a", "messages": [{"role": "user", "content": "x"}]}),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: str) -> None:
    good = json.dumps(
        {"id": "a", "messages": [{"role": "user", "content": "x"}], "expect": {"quotes": ["x"]}}
    )
    path = tmp_path / "set.jsonl"
    path.write_text(f"{good}\n{line}\n")
    with pytest.raises(BadItemError, match=r"set\.jsonl:2: not an item"):
        read_items(path)


def test_drawn_items_are_the_same_for_a_seed_and_have_one_answer() -> None:
    assert arithmetic(50, 3) == arithmetic(50, 3)
    assert arithmetic(50, 3) != arithmetic(50, 4)
    for item in arithmetic(50, 3):
        question = item.messages[0].content.removeprefix("What is ").partition("?")[0]
        assert isinstance(item.expected, Number)
        assert item.expected.value == eval(question)
    assert functions(50, 3) == functions(50, 3)
    assert {item.expected.name for item in functions(50, 3) if isinstance(item.expected, Function)} == {
        "scaled",
        "large_sum",
        "letters",
        "backwards",
    }

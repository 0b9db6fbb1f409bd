"""The comparison that decides what counts as right in the built-in model's evaluation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deploy.built_in_model.evaluate import (
    BARS,
    HERE,
    answered,
    correct,
    judge,
    parse,
    read_set,
    same,
    shares,
    table,
)


def call_text(name: str, arguments: Any) -> str:
    return f'<tool_call>\n{{"name": "{name}", "arguments": {json.dumps(arguments)}}}\n</tool_call>'


def item(expect: dict[str, Any], ignore: tuple[str, ...] = (), last: str = "user") -> dict[str, Any]:
    message = {"role": last, "content": "Read a.txt"}
    return {"id": "x-1", "intent": "read", "messages": [message], "expect": expect, "ignore": list(ignore)}


READ = {"name": "read", "arguments": {"path": "a.txt", "limit": 3}}


def test_parse_takes_prose_and_calls_apart() -> None:
    reply = parse("I look. " + call_text("read", {"path": "a.txt"}) + " Done.")
    assert reply.text == "I look.  Done."
    assert reply.calls == ({"name": "read", "arguments": {"path": "a.txt"}},)
    assert not reply.broken


@pytest.mark.parametrize(
    "raw",
    [
        '<tool_call>\n{"name": "read", "arguments": {"path"',
        '<tool_call>{"name": "read", "arguments": {}}',
        '<tool_call>{"name": "read", "arguments": "a.txt"}</tool_call>',
        '<tool_call>["read"]</tool_call>',
        "<tool_call>read a.txt</tool_call>",
    ],
)
def test_a_call_that_is_no_call_is_broken_and_wrong(raw: str) -> None:
    assert parse(raw).broken
    assert not correct(item(READ), parse(raw))
    assert not correct(item({"quotes": []}), parse(raw))


def test_a_call_counts_whatever_its_spacing_and_order() -> None:
    raw = '<tool_call>{"arguments":{"limit":3,"path":"a.txt"},"name":"read"}</tool_call>'
    assert correct(item(READ), parse(raw))


@pytest.mark.parametrize(
    "arguments",
    [
        {"path": "a.txt"},
        {"path": "a.txt", "limit": 3, "offset": 1},
        {"path": "a.txt", "limit": "3"},
        {"path": "a.txt", "limit": True},
        {"path": "A.txt", "limit": 3},
        {"file": "a.txt", "limit": 3},
    ],
)
def test_any_other_argument_is_wrong(arguments: dict[str, Any]) -> None:
    assert not correct(item(READ), parse(call_text("read", arguments)))


def test_the_name_and_the_number_of_calls_matter() -> None:
    good = call_text("read", READ["arguments"])
    assert correct(item(READ), parse(good))
    assert not correct(item(READ), parse(good + good))
    assert not correct(item(READ), parse(call_text("view", READ["arguments"])))
    assert not correct(item(READ), parse("It says hello."))


def test_ignored_arguments_may_differ_or_be_absent() -> None:
    expect = {"name": "bash", "arguments": {"command": "ls", "description": "Lists files"}}
    asked = item(expect, ignore=("description",))
    assert correct(asked, parse(call_text("bash", {"command": "ls"})))
    assert correct(asked, parse(call_text("bash", {"command": "ls", "description": "else"})))
    assert not correct(asked, parse(call_text("bash", {"command": "ls -a", "description": "Lists files"})))
    assert not correct(item(expect), parse(call_text("bash", {"command": "ls"})))


def test_an_answer_quotes_everything_and_calls_nothing() -> None:
    asked = item({"quotes": ["hello", "zebra 7"]}, last="tool")
    assert correct(asked, parse("a.txt says: hello zebra 7"))
    assert not correct(asked, parse("a.txt says: hello zebra"))
    assert not correct(asked, parse("hello zebra 7" + call_text("read", {"path": "a.txt"})))


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        (True, 1, False),
        (1, 1.0, False),
        ([1, {"a": None}], [1, {"a": None}], True),
        ([1, 2], [2, 1], False),
        ({"a": [True]}, {"a": [1]}, False),
        (None, False, False),
        ("1", 1, False),
    ],
)
def test_same_is_equality_of_json(left: Any, right: Any, equal: bool) -> None:
    assert same(left, right) is equal
    assert same(right, left) is equal


def test_shares_table_and_answering_after_a_result() -> None:
    outcomes = [
        judge("answers", item({"quotes": ["a"]}, last="tool"), "a"),
        judge("answers", item({"quotes": ["a"]}, last="tool"), "b"),
        judge("answers", item({"quotes": ["a"]}, last="tool"), call_text("read", {})),
        judge("known", item(READ), call_text("read", READ["arguments"])),
    ]
    assert shares(outcomes) == {"answers": pytest.approx(1 / 3), "known": 1.0}
    assert answered(outcomes) == pytest.approx(2 / 3)
    assert answered(outcomes[3:]) is None
    text = table(outcomes, BARS)
    assert "bar 0.92 MISSED" in text
    assert "bar 0.97 met" in text


def test_a_broken_line_of_a_set_is_named(tmp_path: Path) -> None:
    path = tmp_path / "known.jsonl"
    path.write_text('{"id": "a"}\n{"id": \n')
    with pytest.raises(ValueError, match=r"known\.jsonl:2:"):
        read_set(path)


def test_requests_written_by_hand_get_the_tools_beside_them() -> None:
    items = read_set(HERE / "sets" / "hand_written.jsonl")
    assert len(items) >= 40
    for entry in items:
        names = {tool["function"]["name"] for tool in entry["tools"]}
        assert entry["expect"]["name"] in names
        assert correct(entry, parse(call_text(**entry["expect"])))


@pytest.mark.parametrize("name", sorted(BARS))
def test_the_committed_sets_are_large_and_can_be_met(name: str) -> None:
    items = read_set(HERE / "sets" / f"{name}.jsonl")
    assert len(items) >= 300
    assert len({entry["id"] for entry in items}) == len(items)
    for entry in items:
        expect = entry["expect"]
        if "quotes" in expect:
            best = " ".join(expect["quotes"])
        else:
            best = call_text(expect["name"], expect["arguments"])
        assert judge(name, entry, best).right, entry["id"]
        assert not judge(name, entry, "I do not know.").right, entry["id"]

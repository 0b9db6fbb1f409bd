"""The generator: reproducible, unambiguous, and clean of everything that is evaluated."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from deploy.built_in_model.generator import requests, results
from deploy.built_in_model.generator.conversations import generate
from deploy.built_in_model.generator.evaluation import evaluation
from deploy.built_in_model.generator.names import Names, is_held_out
from deploy.built_in_model.generator.paraphrase import paraphrase
from deploy.built_in_model.generator.phrasings import (
    SLOT,
    draw,
    every,
    held_out_skeletons,
    lines,
    pair,
    skeleton,
)
from deploy.built_in_model.generator.rendering import segments
from deploy.built_in_model.generator.toolsets import ToolSet, banned, mixed, opencode, swarm, table

FOLDER = Path(__file__).parents[3] / "deploy/built_in_model"
SETS = ("known", "phrasings", "tools", "answers")


def items(name: str) -> list[dict[str, Any]]:
    return [
        json.loads(row)
        for row in (FOLDER / "sets" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    ]


def test_the_same_seed_gives_the_same_conversation() -> None:
    assert generate(5).messages == generate(5).messages
    assert generate(5).messages != generate(6).messages


def test_the_first_stage_has_more_made_up_tools_than_the_second() -> None:
    known = table("known")["read"]["names"]

    def made_up(stage: str) -> int:
        names = [
            {tool["function"]["name"] for tool in generate(seed, stage=stage).tools} for seed in range(400)
        ]
        return sum(not tools.intersection(known) for tools in names)

    assert made_up("copy") > made_up("use")


def test_no_held_out_phrasing_can_be_drawn_for_training() -> None:
    rng = random.Random(1)
    for intent in (*requests.INTENTS, "greet", "identity"):
        for _ in range(400):
            assert skeleton(draw(intent, rng, False).partition("=>")[0]) not in held_out_skeletons()


def test_no_held_out_tool_name_or_parameter_is_in_training() -> None:
    names: set[str] = set()
    for seed in range(3000):
        for tool in generate(seed).tools:
            names.add(tool["function"]["name"])
            names.update(tool["function"]["parameters"]["properties"])
    assert not names & banned()
    assert len(names) > 1000


def test_known_and_held_out_tools_share_no_name() -> None:
    for which in (table("known"), table("held_out")):
        assert set(which) == {"run", "read", "write", "edit", "list", "glob", "grep", "fetch"}
    for capability, entry in table("held_out").items():
        assert not set(entry["names"]) & set(table("known")[capability]["names"])


def test_words_of_the_sets_are_never_words_of_training() -> None:
    for held_out in (False, True):
        n = Names(random.Random(2), held_out)
        assert all(is_held_out(n.word()) == held_out for _ in range(2000))


@pytest.fixture(scope="module")
def trained() -> set[str]:
    """What users say in a sample of the training."""
    conversations = map(generate, range(4000))
    return {message["content"] for c in conversations for message in c.messages if message["role"] == "user"}


@pytest.mark.parametrize("name", SETS)
def test_no_conversation_of_a_set_is_reachable_in_training(name: str, trained: set[str]) -> None:
    for item in items(name):
        last = [message["content"] for message in item["messages"] if message["role"] == "user"][-1]
        if item["intent"] in (
            "list",
            "shell_fact",
            "glob_ext",
        ):  # no names in the request: an exchange with new names precedes it
            assert last not in trained or len(item["messages"]) > 4, item["id"]
        else:
            assert last not in trained, item["id"]


@pytest.mark.parametrize("name", SETS)
def test_the_sets_are_large_and_well_formed(name: str) -> None:
    found = items(name)
    assert len(found) >= 300
    assert len({item["id"] for item in found}) == len(found)
    for item in found:
        if name == "answers":
            assert item["messages"][-1]["role"] == "tool"
            assert item["expect"]["quotes"]
            continue
        assert item["messages"][-1]["role"] == "user"
        schema = next(
            t["function"]["parameters"]
            for t in item["tools"]
            if t["function"]["name"] == item["expect"]["name"]
        )
        given = set(item["expect"]["arguments"])
        assert set(schema["required"]) <= given <= set(schema["properties"])


def test_the_phrasings_set_speaks_in_held_out_phrasings_alone() -> None:
    for seed in range(200):
        intent = evaluation(seed, "phrasings").intent
        assert lines(intent, True)


@pytest.mark.parametrize("intent", requests.INTENTS)
def test_a_call_has_the_required_parameters_in_the_order_of_the_schema(intent: str) -> None:
    n = Names(random.Random(3))
    for build in (opencode, swarm):
        for _ in range(40):
            tools = build(n)
            call = requests.make(n, tools, intent).call
            assert call is not None
            schema = next(
                t["function"]["parameters"] for t in tools.tools if t["function"]["name"] == call["name"]
            )
            order = [key for key in schema["properties"] if key in call["arguments"]]
            assert set(schema["required"]) <= set(call["arguments"])
            assert (
                order == list(call["arguments"])
                or "reason" in call["arguments"]
                or "description" in call["arguments"]
            )


@pytest.mark.parametrize("intent", ["read", "edit", "write_quoted", "grep", "run", "fetch", "delete"])
def test_a_request_holds_its_slots_word_for_word(intent: str) -> None:
    n = Names(random.Random(4))
    for _ in range(200):
        request = requests.make(n, opencode(n), intent)
        assert all(value in request.text for value in request.slots.values()), request


def test_an_answer_quotes_the_result_and_ends_the_exchange() -> None:
    n = Names(random.Random(5))
    for _ in range(800):
        request = requests.make(n, opencode(n), requests.draw_intent(n))
        outcome = results.make(n, request)
        assert all(quote in outcome.answer for quote in outcome.quotes)
        assert "<tool_call>" not in outcome.answer


def test_alternations_nest_and_pairs_need_an_arrow() -> None:
    assert set(every("[a|[b|c] d|]x")) == {"ax", "b dx", "c dx", "x"}
    with pytest.raises(ValueError, match="no =>"):
        pair("just words")


def test_conversations_fit_into_the_context() -> None:
    lengths = [sum(len(text) for text, _ in segments(c.messages, c.tools)) for c in map(generate, range(500))]
    assert max(lengths) < 4500


def test_no_token_is_longer_than_the_bindings_buffer_and_names_are_not_merged_with_marks() -> None:
    tokenizer = json.loads((FOLDER / "tokenizer.json").read_text(encoding="utf-8"))
    assert len(tokenizer["model"]["vocab"]) + len(tokenizer["added_tokens"]) == 3072
    assert all(len(token.encode()) <= 31 for token in tokenizer["model"]["vocab"])
    assert all(len(token["content"].encode()) <= 31 for token in tokenizer["added_tokens"])
    for token in tokenizer["model"]["vocab"]:
        letters = token.lstrip("Ġ")
        assert not any(c.isascii() and c.isalpha() for c in letters) or all(c.isalpha() for c in letters)


def test_a_paraphrase_keeps_the_slots() -> None:
    rng = random.Random(6)
    for template in (
        "show me what is in {path}",
        "replace {old} with {new} in {path}",
        "search for {pattern} in {dir}",
    ):
        said = {paraphrase(template, rng) for _ in range(300)}
        assert len(said) > 20
        assert all(sorted(SLOT.findall(text)) == sorted(SLOT.findall(template)) for text in said)


def test_made_up_names_are_fit_for_a_schema() -> None:
    n = Names(random.Random(7))
    for _ in range(300):
        for tool in mixed(n, "made_up").tools:
            names = [tool["function"]["name"], *tool["function"]["parameters"]["properties"]]
            assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) for name in names), names
            assert len(set(names[1:])) == len(names[1:])


def test_a_request_without_a_fitting_tool_has_no_call() -> None:
    n = Names(random.Random(8))
    tools = ToolSet("none")
    tools.bind("fetch", "fetch", {"url": "url"})
    assert requests.make(n, tools, "delete").call is None
    assert requests.make(n, tools, "fetch").call is not None

"""Schemas drawn at random: where a plan says that calls are held, they are, in every notation."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from services.common.chat import Tool
from services.inference_worker.chat.formats import FORMATS
from services.inference_worker.grammar.plan import Grammars
from tests.unit.inference_worker.grammar.driver import (
    REQUIRED,
    fits,
    generate,
    grammars,
    read,
    request,
    table_for,
)

NOTATIONS = (
    "hermes_json",
    "qwen3_coder_xml",
    "deepseek_dsml",
    "glm4",
    "gemma4",
    "lfm2",
    "pythonic",
    "harmony",
)
WORDS = ("red", "007", "true", "null", "a b", "-1", "x")


def schema(chance: random.Random, depth: int = 0) -> dict[str, Any]:
    """Anything that tools ask for, small enough for random texts to come to their ends."""
    kinds = ["text", "whole", "number", "flag", "choice", "constant", "several", "any_of", "null", "place"]
    if depth < 2:
        kinds += ["list", "object", "list", "object"]
    match chance.choice(kinds):
        case "text":
            least = chance.choice([0, 0, 1, 2])
            return {"type": "string", "minLength": least, "maxLength": least + chance.randrange(1, 9)}
        case "whole":
            return {"type": "integer", "minimum": chance.randrange(-5, 5), "maximum": 300}
        case "number":
            return {"type": "number", "minimum": 0, "maximum": 10}
        case "flag":
            return {"type": "boolean"}
        case "null":
            return {"type": "null"}
        case "choice":
            return {"enum": chance.sample([*WORDS, 3, False, None], 3)}
        case "constant":
            return {"const": chance.choice(WORDS)}
        case "several":
            return {"type": chance.sample(["string", "integer", "boolean", "null"], 2), "maxLength": 6}
        case "any_of":
            return {"anyOf": [schema(chance, depth + 1), schema(chance, depth + 1)]}
        case "place":
            return {"$ref": "#/$defs/place"}
        case "list":
            least = chance.randrange(0, 2)
            return {
                "type": "array",
                "items": schema(chance, depth + 1),
                "minItems": least,
                "maxItems": least + chance.randrange(1, 3),
            }
    return record(chance, depth + 1)


def record(chance: random.Random, depth: int) -> dict[str, Any]:
    names = chance.sample(["path", "mode", "n", "old_text", "flag", "x-y", "größe"], chance.randrange(1, 4))
    if not depth:
        names = [name for name in names if name.isidentifier() and name.isascii()]
    return {
        "type": "object",
        "properties": {name: schema(chance, depth) for name in names},
        "required": [name for name in names if chance.random() < 0.6],
        "additionalProperties": False,
    }


def offered(seed: int) -> tuple[Tool, ...]:
    chance = random.Random(seed)
    place = {
        "type": "object",
        "properties": {"line": {"type": "integer"}, "next": {"$ref": "#/$defs/place"}},
        "required": ["line"],
        "additionalProperties": False,
    }
    return tuple(
        Tool(name, "", json.dumps({**record(chance, 0), "$defs": {"place": place}}))
        for name in ("go", "stop")
    )


@pytest.mark.parametrize("name", NOTATIONS)
def test_calls_fit_schemas_drawn_at_random(name: str) -> None:
    format, table = FORMATS[name], table_for(FORMATS[name])
    known = Grammars(format, table)
    held = ended = 0
    for seed in range(25):
        tools = offered(seed)
        plan = known.plan(request(tools, REQUIRED, parallel=False), tools, "")
        held += plan.constrained
        for turn in range(3):
            text, over = generate(table, plan, 1000 * seed + turn, limit=900)
            said = read(format, tools, plan.forced + text, over)
            if over:
                ended += 1
                (call,) = said.calls
                assert call.ended, said.text
                if plan.constrained:
                    assert fits(tools, call) == "", said.text
    assert held >= 20
    assert ended >= 60


def test_an_unheld_tool_still_gets_an_object() -> None:
    for name in NOTATIONS:
        format = FORMATS[name]
        tools = (Tool("odd", "", '{"type": "object"}'), Tool("bad", "", '{"properties": {"a": 3}}'))
        plan = grammars(format).plan(request(tools, REQUIRED, parallel=False), tools, "")
        text, over = generate(table_for(format), plan, 1, limit=900)
        if over:
            (call,) = read(format, tools, plan.forced + text, over).calls
            assert isinstance(json.loads(call.arguments), dict)

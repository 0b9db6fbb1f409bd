"""Whole conversations for training: exchanges under one list of tools, mixed with what is not file work."""

from __future__ import annotations

import json
import random
from typing import Any

from deploy.built_in_model.generator import requests, special
from deploy.built_in_model.generator.drawing import (
    SYSTEMS,
    Conversation,
    Split,
    draw_tools,
    fitting_intent,
)
from deploy.built_in_model.generator.evaluation import evaluation
from deploy.built_in_model.generator.exchanges import (
    chain,
    exchange,
    follow_up,
)
from deploy.built_in_model.generator.names import Names
from deploy.built_in_model.generator.stages import STAGES
from deploy.built_in_model.generator.texts import sentence
from deploy.built_in_model.generator.toolsets import ToolSet


def generate(seed: int, split: Split = "train", stage: str = "use") -> Conversation:
    """One conversation. The same seed, split and stage give the same conversation anywhere."""
    if split != "train":
        return evaluation(seed, split)
    n = Names(random.Random(f"{split}-{seed}"), stage=STAGES[stage])
    system = n.pick(SYSTEMS) if n.chance(0.9) else sentence(n)
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    x = n.rng.random()
    if x < 0.03:
        return Conversation(special.title(n), [], "title")
    if x < 0.085:
        tools, more = special.weather(n) if n.chance(0.3) else special.custom(n)
        return Conversation(messages + more, tools.tools, "custom")
    if x < 0.12:
        for _ in range(n.pick_int((1, 1, 2, 3))):
            messages += special.without_tools(n)
        return Conversation(messages, [], "no_tools")
    tools = draw_tools(n, split)
    for _ in range(n.rng.choice((1, 2, 3, 3, 4, 4) if tools.kind == "opencode" else (2, 3, 4, 4, 5))):
        messages += _next(n, tools)
    if n.chance(0.06):
        _loosen(n, messages)
    return Conversation(messages, tools.tools, "mixed", [], tools.ignored())


def _next(n: Names, tools: ToolSet) -> list[dict[str, Any]]:
    """The next exchange, or two that hang together."""
    y = n.rng.random()
    if y < 0.025:
        return special.small_talk(n, "greet")
    if y < 0.06:
        return special.small_talk(n, "identity")
    if y < 0.08:
        return special.beyond(n)
    if y < 0.15 and (steps := chain(n, tools)):
        return steps
    request = requests.make(n, tools, fitting_intent(n, tools, must_call=n.chance(0.6)))
    out = exchange(n, tools, request)
    if request.intent in ("write_quoted", "write_plain", "touch", "edit") and request.call and n.chance(0.15):
        out += follow_up(n, tools, request) or []
    return out


def _loosen(n: Names, messages: list[dict[str, Any]]) -> None:
    """Write earlier calls as other clients send them back: spaced JSON; these are given, not learnt."""
    for message in messages[:-2]:
        for call in message.get("tool_calls", ()):
            call["function"]["arguments"] = json.dumps(
                json.loads(call["function"]["arguments"]), ensure_ascii=False
            )
            message["given"] = True

"""One exchange for an evaluation set, with names that training never sees."""

from __future__ import annotations

import itertools
import random
from typing import Any

from deploy.built_in_model.generator import requests, results
from deploy.built_in_model.generator.drawing import (
    SYSTEMS,
    Conversation,
    Split,
    draw_tools,
    fitting_intent,
)
from deploy.built_in_model.generator.exchanges import (
    call_message,
    say,
    tool_message,
    user,
)
from deploy.built_in_model.generator.names import Names
from deploy.built_in_model.generator.outcomes import Outcome
from deploy.built_in_model.generator.requests import Request
from deploy.built_in_model.generator.toolsets import ToolSet

BEFORE_INTENTS = ("read", "write_quoted", "run", "grep", "delete", "read_key", "fetch", "list_dir")


def evaluation(seed: int, split: Split, intents: tuple[str, ...] = requests.INTENTS) -> Conversation:
    """One exchange for an evaluation set: user, call, result and answer.


    New names stand in the request or in an exchange before it. `quotes` is what the answer has to hold.
    """
    n = Names(random.Random(f"{split}-{seed}"), held_out=True)
    tools = draw_tools(n, split)
    system = n.pick(SYSTEMS)
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    request, outcome, named = _fresh(n, tools, split, intents)
    if not named or n.chance(0.3):
        before, first, _ = _fresh(n, tools, "known", BEFORE_INTENTS, named=True)
        messages += [
            user(before.text),
            call_message(before.call or {}),
            tool_message(first.result),
            say(first.answer),
        ]
    messages += [
        user(request.text),
        call_message(request.call or {}),
        tool_message(outcome.result),
        say(outcome.answer),
    ]
    return Conversation(messages, tools.tools, request.intent, outcome.quotes, tools.ignored())


def _fresh(
    n: Names, tools: ToolSet, split: Split, intents: tuple[str, ...], named: bool = False
) -> tuple[Request, Outcome, bool]:
    """A request that the tools can serve, its outcome, and whether it holds a new name.

    Requests with names in them always hold a new one; with `named` there are no others. Tool sets that serve
    none of the intents serve any other.
    """
    for attempt in itertools.count():
        intent = fitting_intent(n, tools, must_call=True)
        if intent not in intents and attempt < 200:
            continue
        request = requests.make(n, tools, intent, held_out=split == "phrasings", noise=False)
        new = any(word in request.text.lower() for word in n.used)
        slotless = request.intent in ("list", "shell_fact", "glob_ext")
        if request.call is not None and (new or (slotless and not named)):
            return request, results.make(n, request), new
    raise AssertionError("unreachable")

"""Exchanges: a request, its call, the tool's result and the answer; alone, chained in one sentence, or
following up."""

from __future__ import annotations

import json
from typing import Any

from deploy.built_in_model.generator import requests, results
from deploy.built_in_model.generator.asking import ask
from deploy.built_in_model.generator.names import RUNNERS, Names
from deploy.built_in_model.generator.requests import Request
from deploy.built_in_model.generator.toolsets import ToolSet

NO_TOOL = "I have no tool for that."

IT = {
    "read": (
        "now show it to me|read it|now read it|show me the file|what is in it now?|show it|and what does "
        "it say?|open it|let me see it|print it|display the file|read it back to me|check what it "
        "contains"
    ),
    "delete": (
        "delete it|remove it again|now delete it|delete the file|I do not need it any more, delete it|"
        "erase it|get rid of it|throw it away"
    ),
    "run_file": (
        "run it|now run it|execute it|run the script|execute the file|start it|run it now please|let it "
        "run|and run it|launch it"
    ),
}

CHAIN_VERBS = set(
    (
        "list show print display read open create write make put save store touch edit change replace "
        "update run execute delete remove view cat launch start erase"
    ).split()
)


def call_message(call: dict[str, Any], number: int = 1) -> dict[str, Any]:
    """An assistant's turn that makes one call; the arguments are compact JSON."""
    arguments = json.dumps(call["arguments"], ensure_ascii=False, separators=(",", ":"))
    function = {"name": call["name"], "arguments": arguments}
    return {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": f"call_{number}", "type": "function", "function": function}],
    }


def tool_message(result: str, number: int = 1) -> dict[str, Any]:
    """A tool's result."""
    return {"role": "tool", "tool_call_id": f"call_{number}", "content": result}


def say(text: str) -> dict[str, Any]:
    """An assistant's turn in words."""
    return {"role": "assistant", "content": text}


def user(text: str) -> dict[str, Any]:
    """A user's turn."""
    return {"role": "user", "content": text}


def exchange(n: Names, tools: ToolSet, request: Request) -> list[dict[str, Any]]:
    """A request, its call, the result and the answer."""
    if request.call is None:
        return [user(request.text), say(NO_TOOL)]
    outcome = results.make(n, request)
    return [
        user(request.text),
        call_message(request.call),
        tool_message(outcome.result),
        say(outcome.answer),
    ]


def chain(n: Names, tools: ToolSet) -> list[dict[str, Any]] | None:
    """Two requests in one message: two calls, then one answer to both. None if the tools do not carry it."""
    pairs = (
        ("write_quoted", "run_file"),
        ("write_quoted", "read"),
        ("mkdir", "write_quoted"),
        ("edit", "read"),
        ("read", "run"),
        ("read", "read"),
        ("touch", "list"),
        ("run", "run"),
        ("list", "read"),
        ("delete", "list"),
        ("write_quoted", "write_quoted"),
        ("list_dir", "read"),
        ("run", "read"),
        ("read", "write_quoted"),
    )
    first, second = pairs[n.rng.randrange(len(pairs))]
    again = n.chance(0.4)
    if again:
        first, second = n.pick(("write_quoted", "write_quoted", "write_plain", "edit", "touch")), "it"
    if not tools.has("run") or not tools.has("read") or not tools.has("write") or not tools.has("edit"):
        return None
    a = _part(n, tools, first)
    b = (_again(n, tools, a, joined=True) if a else None) if again else _part(n, tools, second)
    if a is None or b is None or a.call is None or b.call is None:
        return None
    joint = n.pick(
        (
            ", then ",
            " and then ",
            " and ",
            ", and then ",
            ". Then ",
            "; then ",
            ", after that ",
            ". After that, ",
        )
    )
    second_text = b.text[:1].lower() + b.text[1:] if not b.text.startswith("I ") else b.text
    if first == "write_plain":  # the text runs up to the words that name the second step
        text = a.text + n.pick((" and ", ", and ", " and then ", ", then ", ", and then ")) + second_text
    else:
        text = a.text.rstrip(".!") + joint + second_text
    one, two = results.make(n, a), results.make(n, b)
    out = [user(text), call_message(a.call), tool_message(one.result)]
    if one.failed:
        return [*out, say(one.answer)]
    return [*out, call_message(b.call, 2), tool_message(two.result, 2), say(f"{one.answer}\n{two.answer}")]


def _part(n: Names, tools: ToolSet, intent: str) -> Request | None:
    """A request that can stand in a chain: an imperative sentence on one line with a clear end."""
    for _ in range(12):
        request = requests.make(n, tools, intent, noise=False)
        start = request.text.split(" ")[0].lower()
        clear = start in CHAIN_VERBS and "?" not in request.text and "\n" not in request.text
        if clear and request.call is not None and (intent != "run" or "`" in request.text):
            return request
    return None


def _again(n: Names, tools: ToolSet, before: Request, joined: bool = False) -> Request | None:
    """A request that says "it" for the file of the one before. None if the tools do not carry it.

    A `joined` one stands in the same sentence.
    """
    path = before.slots["path"]
    kinds = ["read", "read", "delete"] + (["run_file"] * 4 if path.rsplit(".", 1)[-1] in RUNNERS else [])
    kind = n.pick(kinds)
    call, shell = requests.target(tools, kind, {"path": path})
    options = IT[kind].split("|")
    if joined:
        words = n.pick([text for text in options if text.split()[0] in CHAIN_VERBS])
    else:
        words = ask(n, n.pick(options), {}, noise=False)
    return Request(kind, words, call, {"path": path}, shell) if call else None


def follow_up(n: Names, tools: ToolSet, before: Request) -> list[dict[str, Any]] | None:
    """A second request that says "it" for the file of the one before."""
    request = _again(n, tools, before)
    return exchange(n, tools, request) if request else None

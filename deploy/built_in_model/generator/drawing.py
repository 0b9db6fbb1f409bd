"""What a conversation is, and what it is drawn from: its system text, its tools and an intent that fits
them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from deploy.built_in_model.generator import requests
from deploy.built_in_model.generator.names import Names
from deploy.built_in_model.generator.toolsets import ToolSet, mixed, opencode, swarm

Split = Literal["train", "known", "phrasings", "tools"]

SYSTEMS = (
    ["You are opencode, an interactive CLI tool that helps users with software engineering tasks."] * 8
    + ["You are OpenCode, the best coding agent on the planet."] * 3
    + ["You are a helpful assistant."] * 4
    + [
        "",
        "",
        "",
        "You are Local Swarm, a local assistant.",
        "You are a coding agent.",
        "You are an agent with tools. Use them.",
    ]
    + [
        "You are an expert programmer working in a repository.",
        "# Instructions\nUse the tools.",
        "Be brief.",
        "Answer in English.",
    ]
)


@dataclass
class Conversation:
    """Messages and tools in OpenAI's form; `quotes` is what the last answer must hold, `ignored` is inert."""

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]]
    intent: str
    quotes: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)


def draw_tools(n: Names, split: Split) -> ToolSet:
    """The tools of a conversation of that split."""
    if split == "tools":
        return mixed(n, "held_out", (4, 8))
    x = n.rng.random()
    if split in ("known", "phrasings"):
        if 0.5 < x < 0.8:
            return mixed(n, "known", (4, 8))
        return swarm(n) if 0.4 < x <= 0.5 else opencode(n)
    stage = n.stage
    if x < stage.opencode:
        return opencode(n)
    if x < stage.opencode + stage.swarm:
        return swarm(n)
    if x < stage.opencode + stage.swarm + stage.known:
        return mixed(n, "known")
    return mixed(n, "made_up", (4, 8) if n.chance(0.75) else (2, 4))


def fitting_intent(n: Names, tools: ToolSet, must_call: bool) -> str:
    """An intent that is unambiguous under the tools; with `must_call` one for which there is a tool."""
    while True:
        intent = requests.draw_intent(n)
        if intent == "grep_dir" and tools.has("grep") and not tools.takes("grep", "path"):
            continue
        if must_call and not tools.has("run"):
            needs = {
                "list_dir": "list",
                "read_key": "read",
                "write_quoted": "write",
                "write_plain": "write",
                "touch": "write",
                "grep_dir": "grep",
                "glob_ext": "glob",
                "glob_name": "glob",
            }
            if not tools.has(needs.get(intent, intent)):
                continue
        return intent

"""Writes the four evaluation sets, sets/{known,phrasings,tools,answers}.jsonl; made once, before any
training.

known      phrasings that are trained on, names that are not
phrasings  phrasings that are never trained on, tool sets that are
tools      phrasings that are trained on, tools and parameters that are not
answers    a tool's result is there; the answer has to quote it

    python -m deploy.built_in_model.make_sets

"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from deploy.built_in_model.generator.drawing import Conversation, Split
from deploy.built_in_model.generator.evaluation import evaluation

FOLDER = Path(__file__).parent / "sets"
NAMES = ("known", "phrasings", "tools", "answers")
ITEMS = 360
SEED = 20_000
QUOTING = (
    "list",
    "list_dir",
    "read",
    "read_key",
    "run",
    "run_file",
    "grep",
    "grep_dir",
    "glob_ext",
    "glob_name",
    "fetch",
    "shell_fact",
)


def call_item(name: str, number: int, conversation: Conversation) -> dict[str, Any]:
    """The conversation up to the user's last message, and the call that has to follow."""
    expected = conversation.messages[-3]["tool_calls"][0]["function"]
    return {
        "id": f"{name}-{number:03d}",
        "intent": conversation.intent,
        "messages": conversation.messages[:-3],
        "tools": conversation.tools,
        "expect": {"name": expected["name"], "arguments": json.loads(expected["arguments"])},
        "ignore": conversation.ignored,
    }


def answer_item(name: str, number: int, conversation: Conversation) -> dict[str, Any]:
    """The conversation up to the tool's result, and what the answer has to quote."""
    return {
        "id": f"{name}-{number:03d}",
        "intent": conversation.intent,
        "messages": conversation.messages[:-1],
        "tools": conversation.tools,
        "expect": {"quotes": conversation.quotes},
        "ignore": [],
    }


def make(name: str) -> list[dict[str, Any]]:
    """The items of a set; no two of them ask for the same call in the same words."""
    split: Split = "known" if name == "answers" else name  # type: ignore[assignment]
    items: list[dict[str, Any]] = []
    seen: set[str] = set()
    seed = SEED + 50_000 * (name == "answers")
    while len(items) < ITEMS:
        conversation = evaluation(seed, split, QUOTING) if name == "answers" else evaluation(seed, split)
        seed += 1
        item = (answer_item if name == "answers" else call_item)(name, len(items) + 1, conversation)
        if name == "answers" and item["intent"] not in QUOTING:
            continue
        text = item["messages"][-1]["content"] + json.dumps(item["expect"])
        if text not in seen:
            seen.add(text)
            items.append(item)
    return items


def main() -> None:
    """Write the four files; refuses to replace them: a set changed after training proves nothing."""
    if any((FOLDER / f"{name}.jsonl").exists() for name in NAMES):
        raise SystemExit(f"{FOLDER} holds sets; remove them first if no model was trained against them")
    for name in NAMES:
        rows = [json.dumps(item, ensure_ascii=False, separators=(",", ":")) for item in make(name)]
        (FOLDER / f"{name}.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
        print(f"{name}: {len(rows)} items")


if __name__ == "__main__":
    main()

"""The chat template in Python, for speed: `render` gives the same text as template.jinja (a unit test holds
the two together), and `segments` cuts a conversation into the pieces that are given and the pieces that
the model has to learn.

Messages and tools are in OpenAI's form; every string that comes back is prompt text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

SYSTEM_CHARS = 48
TOOLS_CHARS = 1000
BUDGET_CHARS = 1600
END = "<|im_end|>"
OPEN_ASSISTANT = "<|im_start|>assistant\n"

Message = Mapping[str, Any]


def clean(text: str) -> str:
    """The text without anything that could be read as a control token."""
    return text.replace("<|", "< |").strip()


def cut(text: str, head: int, tail: int) -> str:
    """The text, or its first `head` and last `tail` characters around an ellipsis."""
    if len(text) > head + tail + 5:
        return f"{text[:head]} ... {text[len(text) - tail :]}"
    return text


def drop(text: str, tag: str) -> str:
    """The text without what stands between <tag> and </tag>."""
    first, *rest = text.split(f"<{tag}>")
    close = f"</{tag}>"
    return first + "".join("".join(part.split(close)[1:]) for part in rest)


def plain(content: Any) -> str:
    """The words of a message's content: a string, a list of parts, or null."""
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping) or not isinstance(content, Iterable):
        return ""
    parts = (p.get("text") if isinstance(p, Mapping) else p for p in content)
    return "".join(f"{part}\n" for part in parts if isinstance(part, str))


def request(content: Any) -> str:
    """What the user asks: without the client's reminders and without quotes around the whole."""
    words = plain(content)
    for tag in ("system-reminder", "env", "environment_details"):
        words = drop(words, tag)
    words = words.strip()
    if len(words) > 2 and words[0] == '"' and words[-1] == '"' and '"' not in words[1:-1].replace('\\"', ""):
        words = words[1:-1].replace('\\"', '"')
    return cut(clean(words), 900, 100)


def arguments_text(arguments: Any) -> str:
    """A call's arguments as compact JSON; a string is taken as it is."""
    if isinstance(arguments, str):
        return arguments
    if isinstance(arguments, Mapping):
        pairs = (f'"{key}":{json.dumps(value, ensure_ascii=False)}' for key, value in arguments.items())
        return "{" + ",".join(pairs) + "}"
    return "{}"


def call_text(name: str, arguments: Any, head: int = 900) -> str:
    """One tool call as the model writes it."""
    body = cut(clean(arguments_text(arguments)), head, 100)
    return f'<tool_call>\n{{"name": "{clean(name)}", "arguments": {body}}}\n</tool_call>'


def answer(message: Message) -> str:
    """An assistant's turn without its markers."""
    out = cut(clean(plain(message.get("content"))), 600, 100)
    for index, call in enumerate((message.get("tool_calls") or [])[:4]):
        function = call.get("function", call)
        out += call_text(function["name"], function.get("arguments"), 60 if index else 900)
    return out


def turn(message: Message, room: int) -> str:
    """One message; `room` is how many characters the exchange under way may still take."""
    role = message["role"]
    if role == "user":
        return f"<|im_start|>user\n{request(message.get('content'))}{END}\n"
    if role == "assistant":
        return f"{OPEN_ASSISTANT}{answer(message)}{END}\n"
    if role in ("tool", "function") and room > 0:
        result = clean(drop(plain(message.get("content")), "system-reminder"))
        return f"<|im_start|>tool\n{cut(result, 500 if room > 600 else 60, 100)}{END}\n"
    return ""


def signature(tool: Mapping[str, Any]) -> str:
    """name(required,optional?) in the order of the schema; optional ones only when they are strings."""
    function = tool.get("function", tool)
    parameters = function.get("parameters") or {}
    required = parameters.get("required") or []
    shown: list[str] = []
    for key, schema in (parameters.get("properties") or {}).items():
        needed = key in required
        if len(shown) < 6 and (needed or (isinstance(schema, Mapping) and schema.get("type") == "string")):
            shown.append(clean(key) + ("" if needed else "?"))
    return f"{clean(function['name'])}({','.join(shown)})"


def system(messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None) -> str:
    """The first turn: the head of the client's system text and one line a tool."""
    head = ""
    for message in messages:
        if message["role"] in ("system", "developer") and not head:
            head = clean(plain(message.get("content"))).replace("\n", " ")[:SYSTEM_CHARS].strip()
    lines = ""
    for tool in tools or ():
        line = "\n" + signature(tool)
        if len(lines) + len(line) <= TOOLS_CHARS:
            lines += line
    return f"<|im_start|>system\n{head}" + (f"\nTools:{lines}" if tools else "") + f"{END}\n"


def render(
    messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None, add_generation_prompt: bool = True
) -> str:
    """The whole prompt, equal to what template.jinja renders."""
    old = now = ask = ""
    for message in messages:
        text = turn(message, BUDGET_CHARS - len(now))
        if message["role"] == "user":
            if len(old) + len(now) + len(text) <= BUDGET_CHARS:
                old += now
            else:
                old = now if len(now) + len(text) <= BUDGET_CHARS else ""
            ask = now = text
        elif message["role"] == "assistant" and len(now) + len(text) > BUDGET_CHARS:
            old, now = "", ask + text
        else:
            now += text
    return system(messages, tools) + old + now + (OPEN_ASSISTANT if add_generation_prompt else "")


def segments(
    messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None
) -> list[tuple[str, bool]]:
    """The conversation as (text, is_target) pieces; a target is an assistant's turn with its end marker.

    Stops before the exchange with which history would leave the prompt: what is trained is what is seen.
    An assistant message with `"given": True` is history only and no target.
    """
    out = [(system(messages, tools), False)]
    size = now = 0
    for message in messages:
        text = turn(message, BUDGET_CHARS - now)
        if message["role"] == "user":
            now = 0
            if size + len(text) > BUDGET_CHARS:
                break
        if message["role"] == "assistant":
            if now + len(text) > BUDGET_CHARS or " ... " in text:
                break
            out.append((OPEN_ASSISTANT, False))
            out.append((text[len(OPEN_ASSISTANT) : -1], not message.get("given")))
            out.append(("\n", False))
        else:
            out.append((text, False))
        size += len(text)
        now += len(text)
    while not out[-1][1]:
        out.pop()
    return out

"""Conversations in the shape that a template takes: what it refuses or would drop is said otherwise.

Each function takes and returns messages, and does the same to the same messages, so that a next turn's prompt
begins as this one's.
"""

from __future__ import annotations

import hashlib
import string
from collections.abc import Iterable
from dataclasses import replace
from itertools import count

from services.common.chat import Message, Role, ToolCall
from services.inference_worker.chat.formats import Format
from services.inference_worker.chat.habits import Habits, Ids
from services.inference_worker.chat.spelling import spell

Messages = tuple[Message, ...]

_ALPHABET = string.ascii_letters + string.digits


def in_shape(messages: Messages, habits: Habits) -> Messages:
    """System message, several calls in a turn and ids as the template bears them."""
    if not habits.system:
        messages = system_folded(messages)
    if not habits.parallel:
        messages = calls_apart(messages)
    return with_ids(messages, habits.ids)


def system_folded(messages: Messages) -> Messages:
    """The system messages' texts at the head of the first user message, for a template without that role."""
    texts = [message.content for message in messages if message.role is Role.SYSTEM and message.content]
    rest = tuple(message for message in messages if message.role is not Role.SYSTEM)
    if not texts:
        return rest
    return _headed(rest, "\n\n".join(texts))


def with_instructions(messages: Messages, text: str) -> Messages:
    """`text` at the end of the system message, which is added if there is none."""
    if messages and messages[0].role is Role.SYSTEM:
        first = messages[0]
        return (replace(first, content=_joined(first.content, text)), *messages[1:])
    return (Message(Role.SYSTEM, text), *messages)


def calls_in_words(messages: Messages, format: Format) -> Messages:
    """Earlier calls as the text that the model wrote."""
    return tuple(
        replace(
            message, content=_joined(message.content, *_spelled(message.tool_calls, format)), tool_calls=()
        )
        if message.tool_calls
        else message
        for message in messages
    )


def results_in_words(messages: Messages) -> Messages:
    """Results of tools as what the user says; neighbours of one role become one message."""
    names = {call.id: call.name for message in messages for call in message.tool_calls}
    told = (
        Message(Role.USER, _result(message, names)) if message.role is Role.TOOL else message
        for message in messages
    )
    return _merged(told)


def calls_apart(messages: Messages) -> Messages:
    """A turn with several calls as one turn each, with its result behind it."""
    results = {message.tool_call_id: message for message in messages if message.role is Role.TOOL}
    moved: set[str] = set()
    apart: list[Message] = []
    for message in messages:
        if message.role is Role.TOOL and message.tool_call_id in moved:
            continue
        if len(message.tool_calls) < 2:
            apart.append(message)
            continue
        for number, call in enumerate(message.tool_calls):
            words = message if number == 0 else replace(message, content="", reasoning_content="")
            apart.append(replace(words, tool_calls=(call,)))
            if call.id in results and call.id not in moved:
                apart.append(results[call.id])
                moved.add(call.id)
    return tuple(apart)


def with_ids(messages: Messages, ids: Ids) -> Messages:
    """Calls and results with ids of the wanted form; which result belongs to which call stays."""
    if ids is Ids.AS_GIVEN:
        return messages
    number = count()
    known: dict[str, str] = {}
    changed = []
    for message in messages:
        for call in message.tool_calls:
            known[call.id] = _nine(call.id) if ids is Ids.NINE else f"functions.{call.name}:{next(number)}"
        calls = tuple(replace(call, id=known[call.id]) for call in message.tool_calls)
        answered = message.tool_call_id
        if answered:
            answered = known.get(answered) or (_nine(answered) if ids is Ids.NINE else answered)
        changed.append(replace(message, tool_calls=calls, tool_call_id=answered))
    return tuple(changed)


def _nine(id: str) -> str:
    if len(id) == 9 and id.isascii() and id.isalnum():
        return id
    digest = hashlib.sha256(id.encode("utf-8", "surrogatepass")).digest()
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in digest[:9])


def _spelled(calls: Iterable[ToolCall], format: Format) -> list[str]:
    return [spell(format, call.name, call.arguments_json) for call in calls]


def _result(message: Message, names: dict[str, str]) -> str:
    name = message.name or names.get(message.tool_call_id, "")
    head = f"Result of {name}:" if name else "Result:"
    return f"{head}\n{message.content}"


def _headed(messages: Messages, text: str) -> Messages:
    """`text` at the head of the first user message; a message of its own where there is none."""
    for at, message in enumerate(messages):
        if message.role is Role.USER:
            return (
                *messages[:at],
                replace(message, content=_joined(text, message.content)),
                *messages[at + 1 :],
            )
    return (Message(Role.USER, text), *messages)


def _merged(messages: Iterable[Message]) -> Messages:
    merged: list[Message] = []
    for message in messages:
        last = merged[-1] if merged else None
        if last is not None and last.role is message.role is Role.USER:
            merged[-1] = replace(last, content=_joined(last.content, message.content))
        else:
            merged.append(message)
    return tuple(merged)


def _joined(*texts: str) -> str:
    return "\n\n".join(text for text in texts if text)

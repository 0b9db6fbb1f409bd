"""A chat request as the dicts that chat templates are written for, in OpenAI's shapes."""

from __future__ import annotations

import json
from typing import Any

from services.common.chat import ChatRequest, Message, Role, Tool, ToolCall, ToolChoiceMode
from services.common.errors import SwarmError, invalid
from services.inference_worker.chat.habits import Habits


def offered_tools(request: ChatRequest) -> tuple[Tool, ...]:
    """The tools that the model may call in this turn: none where tool_choice forbids them."""
    return () if request.tool_choice.mode is ToolChoiceMode.NONE else request.tools


def tool_dicts(tools: tuple[Tool, ...]) -> list[dict[str, Any]]:
    """`{"type": "function", "function": {name, description?, parameters}}` for each tool.

    Raises SwarmError INVALID_FIELD for parameters that are no JSON object.
    """
    return [
        {"type": "function", "function": _function(tool, f"tools[{i}].function.parameters")}
        for i, tool in enumerate(tools)
    ]


def _function(tool: Tool, param: str) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    function["parameters"] = (
        _json_object(tool.parameters_json, param)
        if tool.parameters_json.strip()
        else {"type": "object", "properties": {}}
    )
    return function


def with_tools(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The tools as JSON text in the system message, which is added if there is none."""
    first, rest = {"role": "system", "content": ""}, messages
    if messages and messages[0]["role"] == "system":
        first, rest = messages[0], messages[1:]
    return [{**first, "tools": json.dumps(tools, ensure_ascii=False)}, *rest]


def message_dicts(messages: tuple[Message, ...], habits: Habits) -> list[dict[str, Any]]:
    """The messages for a template; arguments of earlier calls as a mapping, or as JSON text if it wants that.

    Arguments that are no JSON object stay the text they are: clients send cut-off calls back, and refusing
    those would end the conversation.
    """
    names: dict[str, str] = {}
    rendered = []
    for message in messages:
        for call in message.tool_calls:
            names[call.id] = call.name
        rendered.append(_message(message, names, habits))
    return rendered


def _message(message: Message, names: dict[str, str], habits: Habits) -> dict[str, Any]:
    plain: dict[str, Any] = {"role": message.role.value, "content": message.content}
    if message.reasoning_content:
        plain["reasoning_content"] = message.reasoning_content
    if message.tool_calls:
        plain["tool_calls"] = [_call(call, habits.arguments_as_text) for call in message.tool_calls]
        if not message.content and not habits.empty_content:
            plain["content"] = None
    name = message.name
    if message.role is Role.TOOL:
        plain["tool_call_id"] = message.tool_call_id
        # OpenAI's tool messages carry only the id; several templates print the tool's name.
        name = name or names.get(message.tool_call_id, "")
    if name:
        plain["name"] = name
    return plain


def _call(call: ToolCall, arguments_as_text: bool) -> dict[str, Any]:
    arguments: dict[str, Any] | str = call.arguments_json or "{}"
    if not arguments_as_text:
        try:
            arguments = _json_object(call.arguments_json or "{}", "arguments")
        except SwarmError:
            arguments = call.arguments_json
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _json_object(text: str, param: str) -> dict[str, Any]:
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise invalid(param, f"{param} must be the JSON text of an object: {error}") from error
    if not isinstance(value, dict):
        raise invalid(param, f"{param} must be the JSON text of an object, not of {_kind(value)}")
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON value")


def _kind(value: object) -> str:
    if value is None:
        return "null"
    return {"list": "an array", "str": "a string", "bool": "a boolean"}.get(type(value).__name__, "a number")

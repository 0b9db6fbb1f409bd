"""What a request must hold beyond the types of its fields."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from jsonschema.validators import Draft202012Validator, validator_for

from gateway.schemas.messages import AssistantMessage, ToolMessage
from services.common.errors import invalid

if TYPE_CHECKING:
    from gateway.schemas.chat import ChatCompletionRequest, Tool

DEEPEST_SCHEMA = 64
LONGEST_SCHEMA = 256 * 1024
RESPONSE_SCHEMA = "response_format.json_schema.schema"


def check(request: ChatCompletionRequest) -> None:
    """Raises SwarmError INVALID_FIELD naming the first field that breaks a rule."""
    if request.stream_options is not None and not request.stream:
        raise invalid("stream_options", "'stream_options' is only allowed when 'stream' is true.")
    _check_sampling(request)
    _check_tools(request.tools or [])
    _check_tool_choice(request)
    _check_response_format(request)
    _check_messages(request)


def _check_sampling(request: ChatCompletionRequest) -> None:
    if request.top_logprobs is not None and not request.logprobs:
        raise invalid("top_logprobs", "'top_logprobs' is only allowed when 'logprobs' is true.")
    for token in request.logit_bias or ():
        # One spelling for each id, or two keys could mean the same token.
        if not (token.isascii() and token.isdigit() and len(token) <= 9 and str(int(token)) == token):
            raise invalid("logit_bias", f"'logit_bias' maps token ids to numbers; {token[:40]!r} is no id.")
    if request.mirostat and request.xtc_probability:
        raise invalid("xtc_probability", "'xtc_probability' must be 0 beside 'mirostat'.")


def schema_text(schema: dict[str, Any], param: str, of_object: bool = True) -> str:
    """`schema` as JSON text. Raises when it is no JSON Schema, or, `of_object`, not that of an object."""
    if _depth(schema) > DEEPEST_SCHEMA:
        raise invalid(param, f"'{param}' is nested deeper than {DEEPEST_SCHEMA} levels.")
    try:
        text = json.dumps(schema, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError as error:
        raise invalid(param, f"'{param}' has a number that JSON cannot write.") from error
    if len(text) > LONGEST_SCHEMA:
        raise invalid(param, f"'{param}' is longer than {LONGEST_SCHEMA} characters.")
    if (fault := _schema_fault(text, of_object)) is not None:
        kind = "JSON Schema of an object" if of_object else "JSON Schema"
        raise invalid(param, f"'{param}' is not a valid {kind}: {fault}.")
    return text


@lru_cache(maxsize=512)
def _schema_fault(text: str, of_object: bool) -> str | None:
    """What is wrong with the schema. Cached: a conversation sends the same tools at every turn."""
    schema = json.loads(text)
    if of_object and schema and schema.get("type", "object") != "object":
        return f'its type is {json.dumps(schema["type"])[:80]}, not "object"'
    if not isinstance(schema.get("$schema", ""), str):
        return "$schema is not the address of a JSON Schema draft"
    draft = validator_for(schema, default=Draft202012Validator)
    # Without a format checker: patterns in schemas are ECMAScript's, Python's `re` is no judge of them.
    fault = next(draft(draft.META_SCHEMA).iter_errors(schema), None)
    if fault is None:
        return None
    where = "/".join(str(step) for step in fault.absolute_path)
    return fault.message[:200] + (f" at {where[:200]}" if where else "")


def _depth(value: Any) -> int:
    deepest, stack = 0, [(value, 1)]
    while stack and deepest <= DEEPEST_SCHEMA:
        node, level = stack.pop()
        if isinstance(node, dict | list):
            deepest = max(deepest, level)
            children = node.values() if isinstance(node, dict) else node
            stack.extend((child, level + 1) for child in children)
    return deepest


def _check_tools(tools: list[Tool]) -> None:
    names: set[str] = set()
    for i, tool in enumerate(tools):
        name = tool.function.name
        if name in names:
            raise invalid(f"tools[{i}].function.name", f"Two tools are named '{name}'; names must differ.")
        names.add(name)
        if tool.function.parameters is not None:
            schema_text(tool.function.parameters, f"tools[{i}].function.parameters")


def _check_tool_choice(request: ChatCompletionRequest) -> None:
    choice = request.tool_choice
    if choice is None or choice in ("auto", "none"):
        return
    if not request.tools:
        raise invalid("tool_choice", "'tool_choice' asks for a call, but the request has no 'tools'.")
    if not isinstance(choice, str):
        name = choice.function.name
        if all(tool.function.name != name for tool in request.tools):
            raise invalid(
                "tool_choice.function.name", f"'tool_choice' names '{name[:64]}', which is not in 'tools'."
            )


def _check_response_format(request: ChatCompletionRequest) -> None:
    asked = request.response_format
    if asked is not None and asked.type == "json_schema":
        schema_text(asked.json_schema.schema_, RESPONSE_SCHEMA, of_object=False)
    if not request.grammar:
        return
    if asked is not None and asked.type != "text":
        raise invalid(
            "grammar", "'grammar' and 'response_format' both say what the answer must be; send one."
        )
    if request.tools and request.tool_choice != "none":
        raise invalid("grammar", "'grammar' holds the whole answer, which leaves no room for 'tools'.")


def _check_messages(request: ChatCompletionRequest) -> None:
    called: set[str] = set()
    for i, message in enumerate(request.messages):
        if isinstance(message, AssistantMessage):
            if message.content is None and not message.tool_calls and not message.reasoning_content:
                raise invalid(
                    f"messages[{i}].content",
                    f"'messages[{i}].content' may be null only beside tool_calls.",
                )
            called.update(call.id for call in message.tool_calls or ())
        elif isinstance(message, ToolMessage) and message.tool_call_id not in called:
            raise invalid(
                f"messages[{i}].tool_call_id",
                f"'messages[{i}].tool_call_id' answers no call of an assistant message before it.",
            )

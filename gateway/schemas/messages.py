"""The messages of a chat completion request, one model for each role."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, Tag
from pydantic_core import PydanticCustomError

from gateway.schemas.parts import LIST, TEXT, Strict, by_field, by_shape

_ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
_OTHER_PARTS = frozenset({"image_url", "input_audio", "file", "refusal", "video_url", "audio_url"})

Name = Annotated[str, Field(min_length=1, max_length=64)]
FunctionName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.-]{1,64}$")]
CallId = Annotated[str, Field(min_length=1, max_length=256)]


def _only_text(part: Any) -> Any:
    kind = part.get("type") if isinstance(part, dict) else None
    if isinstance(kind, str) and kind in _OTHER_PARTS:
        raise PydanticCustomError(
            "unsupported",
            "a part of type '{kind}' is not supported; the models here read text",
            {"kind": kind},
        )
    return part


def _nothing(value: Any) -> None:
    if value not in (None, []):
        raise PydanticCustomError("unsupported", "not supported in a message; leave it out or send null")


# Present in the messages that OpenAI's SDK hands back, always empty here.
Nothing = Annotated[None, BeforeValidator(_nothing)]


class TextPart(Strict):
    type: Literal["text"]
    text: str


Part = Annotated[TextPart, BeforeValidator(_only_text)]
Content = Annotated[
    Annotated[str, Tag(TEXT)] | Annotated[list[Part], Field(min_length=1), Tag(LIST)],
    by_shape(expected="input should be a string or a list of text parts"),
]


class SystemMessage(Strict):
    role: Literal["system", "developer"]
    content: Content
    name: Name | None = None


class UserMessage(Strict):
    role: Literal["user"]
    content: Content
    name: Name | None = None


class CalledFunction(Strict):
    name: Annotated[str, Field(min_length=1, max_length=256)]
    arguments: str
    parsed_arguments: Nothing = None


class AssistantToolCall(Strict):
    id: CallId
    type: Literal["function"] = "function"
    function: CalledFunction
    # OpenAI's streaming helpers leave it in the call; the place in the list says the same.
    index: int | None = None


class AssistantMessage(Strict):
    role: Literal["assistant"]
    content: Content | None = None
    reasoning_content: str | None = None
    tool_calls: list[AssistantToolCall] | None = None
    name: Name | None = None
    refusal: Nothing = None
    audio: Nothing = None
    function_call: Nothing = None
    annotations: Nothing = None
    parsed: Nothing = None


class ToolMessage(Strict):
    role: Literal["tool"]
    content: Content
    tool_call_id: CallId
    name: Name | None = None


Message = Annotated[
    Annotated[SystemMessage, Tag("~system")]
    | Annotated[SystemMessage, Tag("~developer")]
    | Annotated[UserMessage, Tag("~user")]
    | Annotated[AssistantMessage, Tag("~assistant")]
    | Annotated[ToolMessage, Tag("~tool")],
    by_field("role", _ROLES, "input should be one of 'system', 'developer', 'user', 'assistant' and 'tool'"),
]


def text_of(content: str | list[TextPart] | None) -> str:
    """Parts are joined by line feeds, as the engines do that feed them to a template for plain text."""
    if content is None:
        return ""
    return content if isinstance(content, str) else "\n".join(part.text for part in content)

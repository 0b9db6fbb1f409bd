"""The body of POST /v1/chat/completions, and what is wrong with it in words that name the field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, Tag, ValidationError
from pydantic_core import ErrorDetails

from gateway.body import json_type
from gateway.schemas.messages import FunctionName, Message
from gateway.schemas.parts import LIST, MARK, OBJECT, TEXT, WRONG_FIELD, Strict, by_field, by_shape
from gateway.schemas.rules import LONGEST_SCHEMA, check
from services.common.errors import SwarmError, invalid, unsupported

INT32 = 2**31 - 1

# Known to OpenAI's API and not honoured here, each with the values that ask for nothing (null always does).
UNSUPPORTED: Mapping[str, tuple[Any, ...]] = {
    "audio": (),
    "function_call": (),
    "functions": (),
    "modalities": (["text"],),
    "prediction": (),
    "prompt_cache_retention": (),
    "reasoning_effort": (),
    "service_tier": ("auto", "default"),
    "store": (False,),
    "verbosity": (),
    "web_search_options": (),
}


class StreamOptions(Strict):
    include_usage: bool | None = None


class FunctionTool(Strict):
    name: FunctionName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = Field(
        None, description="true: a schema that no grammar can hold to the letter is refused"
    )


class Tool(Strict):
    type: Literal["function"]
    function: FunctionTool


class NamedFunction(Strict):
    name: str


class NamedToolChoice(Strict):
    type: Literal["function"]
    function: NamedFunction


class TextFormat(Strict):
    type: Literal["text"]


class JsonObjectFormat(Strict):
    type: Literal["json_object"]


class JsonSchema(Strict):
    """`strict` changes nothing here: a schema is held to the letter or refused."""

    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str | None = None
    # `schema` is a method of pydantic's models.
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class JsonSchemaFormat(Strict):
    type: Literal["json_schema"]
    json_schema: JsonSchema


ResponseFormat = Annotated[
    Annotated[TextFormat, Tag("~text")]
    | Annotated[JsonObjectFormat, Tag("~json_object")]
    | Annotated[JsonSchemaFormat, Tag("~json_schema")],
    by_field(
        "type",
        frozenset({"text", "json_object", "json_schema"}),
        "input should be one of 'text', 'json_object' and 'json_schema'",
    ),
]


class SwarmOptions(Strict):
    """This swarm's own extension, `extra_body={"swarm": {…}}` in OpenAI's SDK."""

    voters: Annotated[int, Field(ge=1, le=32)] | None = None
    strategy: Annotated[str, Field(max_length=64)] | None = Field(
        default=None,
        description="how the candidates' answers become one; wins over the header x-swarm-strategy",
    )
    early_stop: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="'lossless', or 'beta_95' and 'unanimous_w', which are not safe"
    )
    min_argument_logprob: Annotated[float, Field(ge=-1000, le=0)] | None = Field(
        default=None,
        description="natural logarithm: votes for tool calls count from this mean per argument token on",
    )


Stop = Annotated[str, Field(min_length=1)]


class ChatCompletionRequest(Strict):
    model: Annotated[str, Field(min_length=1, max_length=256)]
    messages: Annotated[list[Message], Field(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: Annotated[list[Tool], Field(max_length=128)] | None = None
    tool_choice: (
        Annotated[
            Annotated[Literal["auto", "none", "required"], Tag(TEXT)]
            | Annotated[NamedToolChoice, Tag(OBJECT)],
            by_shape(
                expected="input should be 'auto', 'none', 'required' or an object that names a function"
            ),
        ]
        | None
    ) = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    grammar: Annotated[str, Field(max_length=LONGEST_SCHEMA)] | None = Field(
        None, description="llama.cpp's notation, or Lark's behind a line `%llguidance`"
    )
    max_tokens: Annotated[int, Field(ge=1, le=INT32)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=INT32)] | None = Field(
        None, description="wins over max_tokens"
    )
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: (
        Annotated[
            Annotated[Stop, Tag(TEXT)] | Annotated[list[Stop], Field(max_length=16), Tag(LIST)],
            by_shape(expected="input should be a string or a list of strings"),
        ]
        | None
    ) = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0, le=INT32)] | None = Field(None, description="0: all tokens")
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    logit_bias: (
        Annotated[dict[str, Annotated[float, Field(ge=-100, le=100)]], Field(max_length=10_000)] | None
    ) = Field(None, description="token id to what is added to its logit")
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    # llama.cpp's names, ranges and meaning.
    typical_p: Annotated[float, Field(ge=0, le=1)] | None = Field(None, description="1: off")
    repeat_penalty: Annotated[float, Field(ge=0.01, le=100)] | None = Field(None, description="1: off")
    repeat_last_n: Annotated[int, Field(ge=-1, le=INT32)] | None = Field(
        None, description="tokens that the penalties look back on; -1: all"
    )
    dry_multiplier: Annotated[float, Field(ge=0, le=100)] | None = Field(None, description="0: off")
    dry_base: Annotated[float, Field(ge=1, le=100)] | None = None
    dry_allowed_length: Annotated[int, Field(ge=0, le=INT32)] | None = None
    dry_penalty_last_n: Annotated[int, Field(ge=-1, le=INT32)] | None = Field(None, description="-1: all")
    dry_sequence_breakers: (
        Annotated[list[Annotated[str, Field(min_length=1, max_length=40)]], Field(max_length=32)] | None
    ) = None
    xtc_probability: Annotated[float, Field(ge=0, le=1)] | None = Field(None, description="0: off")
    xtc_threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    mirostat: Annotated[int, Field(ge=0, le=2)] | None = Field(
        None, description="0: off; otherwise top_k, top_p, min_p and typical_p do not apply"
    )
    mirostat_tau: Annotated[float, Field(ge=0, le=100)] | None = None
    mirostat_eta: Annotated[float, Field(ge=0, le=1)] | None = None
    prompt_cache_key: str | None = Field(
        None, max_length=256, description="names the conversation when no x-session-id header does"
    )
    swarm: SwarmOptions | None = None
    # Labels of the caller's own; they have no effect on an answer, by definition.
    user: str | None = None
    safety_identifier: str | None = None
    metadata: Annotated[dict[str, str], Field(max_length=16)] | None = None


def parse(body: dict[str, Any]) -> ChatCompletionRequest:
    """The request in `body`. Raises SwarmError INVALID_FIELD or UNSUPPORTED_PARAMETER naming the field."""
    asked = {key: value for key, value in body.items() if not _refused(key, value)}
    try:
        request = ChatCompletionRequest.model_validate(asked)
    except ValidationError as error:
        raise _explain(error.errors(include_url=False)[0]) from error
    check(request)
    return request


def _refused(key: str, value: Any) -> bool:
    """True for an unsupported parameter that asks for nothing; raises for one that asks for something."""
    if key not in UNSUPPORTED:
        return False
    if value is not None and not any(
        type(value) is type(same) and value == same for same in UNSUPPORTED[key]
    ):
        raise unsupported(key, f"Unsupported parameter: '{key}' is not supported with this value.")
    return True


def _explain(first: ErrorDetails) -> SwarmError:
    param = _path(first["loc"])
    kind, message = first["type"], first["msg"]
    if kind == "extra_forbidden":
        return unsupported(param, f"Unknown parameter: '{param}'. It is refused rather than ignored.")
    if kind == "missing":
        return invalid(param, f"Missing required parameter: '{param}'.")
    if kind.startswith(WRONG_FIELD):
        name = kind.removeprefix(WRONG_FIELD)
        param += f".{name}"
        given = first["input"]
        if isinstance(given, dict) and given.get("role") == "function":
            return unsupported(param, f"Unsupported value: '{param}' is 'function'; use the role 'tool'.")
        if isinstance(given, dict) and name not in given:
            return invalid(param, f"Missing required parameter: '{param}'.")
    if kind == "unsupported":
        return unsupported(param, f"Unsupported value: '{param}': {message}.")
    message = message[:1].lower() + message[1:]
    return invalid(param, f"Invalid value for '{param}': {message} (got {_shown(first['input'])}).")


def _path(loc: tuple[int | str, ...]) -> str:
    """`messages[0].content` from a location of pydantic's, without the tags of its unions."""
    path = ""
    for step in loc:
        if isinstance(step, int):
            path += f"[{step}]"
        elif not step.startswith(MARK):
            path += f".{step[:80]}" if path else step[:80]
    return path


def _shown(value: Any) -> str:
    if isinstance(value, bool | int | float) and len(str(value)) <= 24:
        return str(value).lower() if isinstance(value, bool) else str(value)
    if isinstance(value, str) and len(value) <= 40:
        return repr(value)
    return json_type(value)

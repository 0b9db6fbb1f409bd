"""The domain's words for a conversation and for what a worker streams back.

The same shapes as `swarm.common.v1` and `swarm.inference.v1`, free of gRPC; `chat_proto.py` converts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Role(StrEnum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """`arguments_json` is the JSON text of an object, exactly as generated."""

    id: str
    name: str
    arguments_json: str


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    content: str = ""
    reasoning_content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """`parameters_json` is a JSON Schema as text; empty: an object without parameters.

    `strict`: a schema that cannot be held to the letter is an error; otherwise what of it cannot be held is
    left open.
    """

    name: str
    description: str = ""
    parameters_json: str = ""
    strict: bool = False


class ToolChoiceMode(StrEnum):
    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"
    NAMED = "named"


@dataclass(frozen=True, slots=True)
class ToolChoice:
    mode: ToolChoiceMode = ToolChoiceMode.AUTO
    name: str = ""


class ResponseKind(StrEnum):
    TEXT = "text"
    JSON_OBJECT = "json_object"
    JSON_SCHEMA = "json_schema"
    GBNF = "gbnf"
    LARK = "lark"


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    """What the whole answer (behind the reasoning) must be.

    `schema_json`: a JSON Schema as text, for JSON_SCHEMA. `grammar`: llama.cpp's notation for GBNF, that of
    Lark as llguidance reads it for LARK. TEXT: anything.
    """

    kind: ResponseKind = ResponseKind.TEXT
    schema_json: str = ""
    grammar: str = ""


@dataclass(frozen=True, slots=True)
class Sampling:
    """None: the model's own recommendation, or no limit for `max_tokens` but the context.

    The names are OpenAI's and llama.cpp's. `logit_bias`: (token, added to its logit). `top_logprobs`:
    alternatives told with each token's log-probability; None: no log-probabilities are told.
    """

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    typical_p: float | None = None
    repeat_penalty: float | None = None
    repeat_last_n: int | None = None
    dry_multiplier: float | None = None
    dry_base: float | None = None
    dry_allowed_length: int | None = None
    dry_penalty_last_n: int | None = None
    dry_sequence_breakers: tuple[str, ...] = ()
    xtc_probability: float | None = None
    xtc_threshold: float | None = None
    mirostat: int | None = None
    mirostat_tau: float | None = None
    mirostat_eta: float | None = None
    logit_bias: tuple[tuple[int, float], ...] = ()
    top_logprobs: int | None = None


@dataclass(frozen=True, slots=True)
class DrawnToken:
    """`id` in the model's vocabulary; `logprob` is a natural logarithm. `top`: alternatives, if asked for."""

    id: int
    logprob: float
    top: tuple[DrawnToken, ...] = ()


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """`tell_drawn_tokens`: DrawnTokens are told, too.

    `resume`: what each candidate has drawn on another worker whose model has the same fingerprint; its events
    are sent once more, from the beginning. Empty, or one for each candidate.
    """

    model: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = field(default_factory=ToolChoice)
    parallel_tool_calls: bool = True
    sampling: Sampling = field(default_factory=Sampling)
    candidates: int = 1
    session_id: str = ""
    parent_session_id: str = ""
    response_format: ResponseFormat = field(default_factory=ResponseFormat)
    tell_drawn_tokens: bool = False
    resume: tuple[tuple[DrawnToken, ...], ...] = ()


class FinishReason(StrEnum):
    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"


@dataclass(frozen=True, slots=True)
class Accepted:
    """First event, before any prefill: the request is valid, fits and is in the queue.

    `constrained`: a grammar holds every call in the answer to the schema of its tool.
    """

    model: str
    prompt_tokens: int
    context_length: int
    worker: str
    constrained: bool = False


@dataclass(frozen=True, slots=True)
class PrefillProgress:
    done_tokens: int
    total_tokens: int
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class ContentDelta:
    candidate: int
    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    candidate: int
    text: str


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """`token` are its bytes, not necessarily whole UTF-8 characters; `logprob` is a natural logarithm.

    `top`: the likeliest tokens at its place, likeliest first, each without a `top` of its own.
    """

    token: bytes
    logprob: float
    top: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """Tokens of the content, before the ContentDelta with the text that they became."""

    candidate: int
    tokens: tuple[TokenLogprob, ...]


@dataclass(frozen=True, slots=True)
class DrawnTokens:
    """What the candidate has drawn, before whatever it became; only where it is asked for."""

    candidate: int
    tokens: tuple[DrawnToken, ...]


@dataclass(frozen=True, slots=True)
class ToolCallStarted:
    candidate: int
    index: int
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class ToolCallArguments:
    candidate: int
    index: int
    fragment: str


@dataclass(frozen=True, slots=True)
class ToolCallEnded:
    """The call is complete; a call without this event was cut off and must not be run."""

    candidate: int
    index: int


@dataclass(frozen=True, slots=True)
class CandidateFinished:
    """`logprob_sum` is the sum of natural logarithms over the candidate's sampled tokens.

    `argument_logprob`: the lowest mean over a window of tokens inside its tool calls; None: not told, or no
    calls.
    """

    candidate: int
    reason: FinishReason
    completion_tokens: int
    reasoning_tokens: int = 0
    logprob_sum: float = 0.0
    argument_logprob: float | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Last event. `cached_tokens` of the prompt were not computed again; the rest counts all candidates."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int = 0


ChatEvent = (
    Accepted
    | PrefillProgress
    | ContentDelta
    | ReasoningDelta
    | TokenLogprobs
    | DrawnTokens
    | ToolCallStarted
    | ToolCallArguments
    | ToolCallEnded
    | CandidateFinished
    | Usage
)


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """`tool_format_source`: what told the tool format, in a few words.

    `fingerprint`: equal for workers that can go on with one another's answers; empty: it cannot.
    """

    id: str
    context_length: int
    tool_format: str
    created_unix: int
    display_name: str = ""
    tool_format_source: str = ""
    fingerprint: str = ""

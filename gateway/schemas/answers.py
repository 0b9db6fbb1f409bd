"""What the gateway answers, as /openapi.json declares it. Answers are rendered by hand; the tests hold them
to these models.
"""

from __future__ import annotations

from typing import Literal

from gateway.schemas.parts import Strict


class ErrorDetail(Strict):
    message: str
    type: Literal["invalid_request_error", "rate_limit_error", "server_error"]
    param: str | None
    code: str | None


class Error(Strict):
    error: ErrorDetail


class Function(Strict):
    name: str
    arguments: str


class Call(Strict):
    id: str
    type: Literal["function"]
    function: Function


class AnswerMessage(Strict):
    role: Literal["assistant"]
    content: str | None
    refusal: None
    reasoning_content: str = ""
    tool_calls: tuple[Call, ...] = ()


class TopLogprob(Strict):
    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(TopLogprob):
    """`token` has U+FFFD where a token is a part of a character; `bytes` is the truth."""

    top_logprobs: list[TopLogprob]


class Logprobs(Strict):
    """Of the content's tokens, before any sampling filter."""

    content: list[TokenLogprob]
    refusal: None


class AnswerChoice(Strict):
    index: int
    message: AnswerMessage
    finish_reason: Literal["stop", "length", "tool_calls"]
    logprobs: Logprobs | None


class PromptDetails(Strict):
    cached_tokens: int


class CompletionDetails(Strict):
    reasoning_tokens: int


class Usage(Strict):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails


class Ballot(Strict):
    worker: str
    candidate: int
    key: str
    summary: str
    weight: float | None
    mean_logprob: float | None
    won: bool
    kind: str
    tokens: int


class InvalidCall(Strict):
    """Of the call at `index` in the message of `choice`: it does not fit what was offered."""

    choice: int
    index: int
    id: str
    name: str
    problem: str


class CallChecks(Strict):
    """`retried`: the model was told what was wrong with its calls and asked once more."""

    retried: bool
    invalid: tuple[InvalidCall, ...]


class Decided(Strict):
    """Who answered; the rest is there when there was a vote, `tool_calls` when a call did not fit at once.

    `clusters`: different answers. `agreement`: the share of the voters that gave this one. `confidence`: the
    geometric mean of the winning votes' token probabilities, as their workers told them.
    """

    worker: str
    strategy: str = ""
    quorum: int = 0
    decided: bool = False
    round: int = 0
    early_stop: str = ""
    candidates: int = 0
    clusters: int = 0
    agreement: float | None = 0.0
    confidence: float | None = 0.0
    lost_workers: tuple[str, ...] = ()
    generated_tokens: int = 0
    ballots: tuple[Ballot, ...] = ()
    tool_calls: CallChecks | None = None


class ChatCompletion(Strict):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[AnswerChoice]
    usage: Usage
    swarm: Decided


class Model(Strict):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    context_length: int
    tool_format: str
    display_name: str


class ModelList(Strict):
    object: Literal["list"]
    data: list[Model]


class Healthy(Strict):
    status: Literal["ok"]
    models: list[str]
    requests_in_flight: int


class Unhealthy(Strict):
    status: Literal["unavailable"]
    unavailable: Literal["consensus", "workers"]
    message: str

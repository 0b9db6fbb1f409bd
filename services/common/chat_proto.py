"""The words of `chat.py` to and from `swarm.common.v1` and `swarm.inference.v1`.

Longer than other modules because each word's two directions stand side by side, and all words in one place:
what is forgotten in one direction is seen in the other.
"""

from __future__ import annotations

from typing import Any, Literal

from services.common.chat import (
    Accepted,
    CandidateFinished,
    ChatEvent,
    ChatRequest,
    ContentDelta,
    DrawnToken,
    DrawnTokens,
    FinishReason,
    Message,
    ModelInfo,
    PrefillProgress,
    ReasoningDelta,
    ResponseFormat,
    ResponseKind,
    Role,
    Sampling,
    TokenLogprob,
    TokenLogprobs,
    Tool,
    ToolCall,
    ToolCallArguments,
    ToolCallEnded,
    ToolCallStarted,
    ToolChoice,
    ToolChoiceMode,
    Usage,
)
from services.common.errors import invalid
from swarm.common.v1 import chat_pb2
from swarm.inference.v1 import inference_pb2 as pb

_ROLES = {
    chat_pb2.ROLE_SYSTEM: Role.SYSTEM,
    chat_pb2.ROLE_USER: Role.USER,
    chat_pb2.ROLE_ASSISTANT: Role.ASSISTANT,
    chat_pb2.ROLE_TOOL: Role.TOOL,
}
_ROLES_BACK = {role: value for value, role in _ROLES.items()}
_CHOICES = {
    chat_pb2.ToolChoice.MODE_UNSPECIFIED: ToolChoiceMode.AUTO,
    chat_pb2.ToolChoice.MODE_AUTO: ToolChoiceMode.AUTO,
    chat_pb2.ToolChoice.MODE_NONE: ToolChoiceMode.NONE,
    chat_pb2.ToolChoice.MODE_REQUIRED: ToolChoiceMode.REQUIRED,
    chat_pb2.ToolChoice.MODE_NAMED: ToolChoiceMode.NAMED,
}
_CHOICES_BACK = {
    ToolChoiceMode.AUTO: chat_pb2.ToolChoice.MODE_AUTO,
    ToolChoiceMode.NONE: chat_pb2.ToolChoice.MODE_NONE,
    ToolChoiceMode.REQUIRED: chat_pb2.ToolChoice.MODE_REQUIRED,
    ToolChoiceMode.NAMED: chat_pb2.ToolChoice.MODE_NAMED,
}
_KINDS = {
    chat_pb2.ResponseFormat.KIND_UNSPECIFIED: ResponseKind.TEXT,
    chat_pb2.ResponseFormat.KIND_TEXT: ResponseKind.TEXT,
    chat_pb2.ResponseFormat.KIND_JSON_OBJECT: ResponseKind.JSON_OBJECT,
    chat_pb2.ResponseFormat.KIND_JSON_SCHEMA: ResponseKind.JSON_SCHEMA,
    chat_pb2.ResponseFormat.KIND_GBNF: ResponseKind.GBNF,
    chat_pb2.ResponseFormat.KIND_LARK: ResponseKind.LARK,
}
_KINDS_BACK = {kind: value for value, kind in _KINDS.items()}
_REASONS = {
    pb.FINISH_REASON_STOP: FinishReason.STOP,
    pb.FINISH_REASON_LENGTH: FinishReason.LENGTH,
    pb.FINISH_REASON_TOOL_CALLS: FinishReason.TOOL_CALLS,
}
_REASONS_BACK = {reason: value for value, reason in _REASONS.items()}
_OPTIONAL_SAMPLING: tuple[
    Literal[
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "frequency_penalty",
        "presence_penalty",
        "seed",
        "max_tokens",
        "typical_p",
        "repeat_penalty",
        "repeat_last_n",
        "dry_multiplier",
        "dry_base",
        "dry_allowed_length",
        "dry_penalty_last_n",
        "xtc_probability",
        "xtc_threshold",
        "mirostat",
        "mirostat_tau",
        "mirostat_eta",
        "top_logprobs",
    ],
    ...,
] = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "frequency_penalty",
    "presence_penalty",
    "seed",
    "max_tokens",
    "typical_p",
    "repeat_penalty",
    "repeat_last_n",
    "dry_multiplier",
    "dry_base",
    "dry_allowed_length",
    "dry_penalty_last_n",
    "xtc_probability",
    "xtc_threshold",
    "mirostat",
    "mirostat_tau",
    "mirostat_eta",
    "top_logprobs",
)


def call_to_proto(call: ToolCall) -> chat_pb2.ToolCall:
    return chat_pb2.ToolCall(id=call.id, name=call.name, arguments_json=call.arguments_json)


def call_from_proto(message: chat_pb2.ToolCall) -> ToolCall:
    return ToolCall(message.id, message.name, message.arguments_json)


def tool_to_proto(tool: Tool) -> chat_pb2.Tool:
    return chat_pb2.Tool(
        name=tool.name,
        description=tool.description,
        parameters_json=tool.parameters_json,
        strict=tool.strict,
    )


def tool_from_proto(message: chat_pb2.Tool) -> Tool:
    return Tool(message.name, message.description, message.parameters_json, message.strict)


def model_to_proto(model: ModelInfo) -> pb.ModelInfo:
    return pb.ModelInfo(
        id=model.id,
        context_length=model.context_length,
        tool_format=model.tool_format,
        created_unix=model.created_unix,
        display_name=model.display_name,
        tool_format_source=model.tool_format_source,
        fingerprint=model.fingerprint,
    )


def model_from_proto(message: pb.ModelInfo) -> ModelInfo:
    return ModelInfo(
        message.id,
        message.context_length,
        message.tool_format,
        message.created_unix,
        message.display_name,
        message.tool_format_source,
        message.fingerprint,
    )


def _message_to_proto(message: Message) -> chat_pb2.Message:
    return chat_pb2.Message(
        role=_ROLES_BACK[message.role],
        content=message.content,
        reasoning_content=message.reasoning_content,
        tool_calls=[call_to_proto(call) for call in message.tool_calls],
        tool_call_id=message.tool_call_id,
        name=message.name,
    )


def _message_from_proto(message: chat_pb2.Message, index: int) -> Message:
    role = _ROLES.get(message.role)
    if role is None:
        raise invalid(f"messages[{index}].role", "expected system, user, assistant or tool")
    return Message(
        role=role,
        content=message.content,
        reasoning_content=message.reasoning_content,
        tool_calls=tuple(call_from_proto(call) for call in message.tool_calls),
        tool_call_id=message.tool_call_id,
        name=message.name,
    )


def request_to_proto(request: ChatRequest) -> pb.ChatRequest:
    given: dict[str, Any] = {
        name: value for name in _OPTIONAL_SAMPLING if (value := getattr(request.sampling, name)) is not None
    }
    return pb.ChatRequest(
        model=request.model,
        messages=[_message_to_proto(message) for message in request.messages],
        tools=[tool_to_proto(tool) for tool in request.tools],
        tool_choice=chat_pb2.ToolChoice(
            mode=_CHOICES_BACK[request.tool_choice.mode], name=request.tool_choice.name
        ),
        parallel_tool_calls=request.parallel_tool_calls,
        sampling=pb.Sampling(
            stop=request.sampling.stop,
            dry_sequence_breakers=request.sampling.dry_sequence_breakers,
            logit_bias=dict(request.sampling.logit_bias),
            **given,
        ),
        candidates=request.candidates,
        session_id=request.session_id,
        parent_session_id=request.parent_session_id,
        response_format=chat_pb2.ResponseFormat(
            kind=_KINDS_BACK[request.response_format.kind],
            schema_json=request.response_format.schema_json,
            grammar=request.response_format.grammar,
        ),
        tell_drawn_tokens=request.tell_drawn_tokens,
        resume=[_drawn_to_proto(drawn) for drawn in request.resume],
    )


def request_from_proto(message: pb.ChatRequest) -> ChatRequest:
    """Raises SwarmError INVALID_FIELD: an unknown role, tool choice or response format, no messages,
    negative candidates."""
    if not message.messages:
        raise invalid("messages", "expected at least one message")
    mode = _CHOICES.get(message.tool_choice.mode)
    if mode is None:
        raise invalid("tool_choice", "expected auto, none, required or a function's name")
    if message.candidates < 0:
        raise invalid("candidates", f"expected at least 1, got {message.candidates}")
    sampling = message.sampling
    given: dict[str, Any] = {
        name: getattr(sampling, name) for name in _OPTIONAL_SAMPLING if sampling.HasField(name)
    }
    return ChatRequest(
        model=message.model,
        messages=tuple(_message_from_proto(each, index) for index, each in enumerate(message.messages)),
        tools=tuple(tool_from_proto(tool) for tool in message.tools),
        tool_choice=ToolChoice(mode, message.tool_choice.name),
        parallel_tool_calls=message.parallel_tool_calls if message.HasField("parallel_tool_calls") else True,
        sampling=Sampling(
            stop=tuple(sampling.stop),
            dry_sequence_breakers=tuple(sampling.dry_sequence_breakers),
            logit_bias=tuple(sorted(sampling.logit_bias.items())),
            **given,
        ),
        candidates=max(1, message.candidates),
        session_id=message.session_id,
        parent_session_id=message.parent_session_id,
        response_format=_response_format_from_proto(message.response_format),
        tell_drawn_tokens=message.tell_drawn_tokens,
        resume=tuple(_drawn_from_proto(each) for each in message.resume),
    )


def _response_format_from_proto(message: chat_pb2.ResponseFormat) -> ResponseFormat:
    kind = _KINDS.get(message.kind)
    if kind is None:
        raise invalid("response_format", "expected text, json_object, json_schema, gbnf or lark")
    return ResponseFormat(kind, message.schema_json, message.grammar)


def _logprob_to_proto(told: TokenLogprob) -> pb.TokenLogprob:
    return pb.TokenLogprob(
        token=told.token, logprob=told.logprob, top=[_logprob_to_proto(each) for each in told.top]
    )


def logprobs_from_proto(message: pb.TokenLogprobs) -> tuple[TokenLogprob, ...]:
    """Alternatives of alternatives do not count: nobody tells them."""
    return tuple(
        TokenLogprob(
            each.token, each.logprob, tuple(TokenLogprob(other.token, other.logprob) for other in each.top)
        )
        for each in message.tokens
    )


def _drawn_token_to_proto(token: DrawnToken) -> pb.DrawnToken:
    top = [_drawn_token_to_proto(other) for other in token.top]
    return pb.DrawnToken(id=token.id, logprob=token.logprob, top=top)


def _drawn_to_proto(tokens: tuple[DrawnToken, ...]) -> pb.DrawnTokens:
    return pb.DrawnTokens(tokens=[_drawn_token_to_proto(each) for each in tokens])


def _drawn_from_proto(message: pb.DrawnTokens) -> tuple[DrawnToken, ...]:
    """Alternatives of alternatives do not count, as with log-probabilities."""
    return tuple(
        DrawnToken(each.id, each.logprob, tuple(DrawnToken(other.id, other.logprob) for other in each.top))
        for each in message.tokens
    )


def event_to_proto(event: ChatEvent) -> pb.ChatEvent:
    match event:
        case ContentDelta(candidate, text):
            return pb.ChatEvent(candidate=candidate, content=pb.ContentDelta(text=text))
        case ReasoningDelta(candidate, text):
            return pb.ChatEvent(candidate=candidate, reasoning=pb.ReasoningDelta(text=text))
        case TokenLogprobs(candidate, tokens):
            return pb.ChatEvent(
                candidate=candidate,
                token_logprobs=pb.TokenLogprobs(tokens=[_logprob_to_proto(each) for each in tokens]),
            )
        case DrawnTokens(candidate, drawn):
            return pb.ChatEvent(candidate=candidate, drawn_tokens=_drawn_to_proto(drawn))
        case ToolCallArguments(candidate, index, fragment):
            return pb.ChatEvent(
                candidate=candidate, tool_call_arguments=pb.ToolCallArguments(index=index, fragment=fragment)
            )
        case ToolCallStarted(candidate, index, call_id, name):
            return pb.ChatEvent(
                candidate=candidate, tool_call_started=pb.ToolCallStarted(index=index, id=call_id, name=name)
            )
        case ToolCallEnded(candidate, index):
            return pb.ChatEvent(candidate=candidate, tool_call_ended=pb.ToolCallEnded(index=index))
        case CandidateFinished():
            return pb.ChatEvent(
                candidate=event.candidate,
                candidate_finished=pb.CandidateFinished(
                    reason=_REASONS_BACK[event.reason],
                    completion_tokens=event.completion_tokens,
                    reasoning_tokens=event.reasoning_tokens,
                    logprob_sum=event.logprob_sum,
                    argument_logprob=event.argument_logprob,
                ),
            )
        case Accepted():
            return pb.ChatEvent(
                accepted=pb.Accepted(
                    model=event.model,
                    prompt_tokens=event.prompt_tokens,
                    context_length=event.context_length,
                    worker=event.worker,
                    constrained=event.constrained,
                )
            )
        case PrefillProgress(done, total, cached):
            return pb.ChatEvent(
                prefill_progress=pb.PrefillProgress(
                    done_tokens=done, total_tokens=total, cached_tokens=cached
                )
            )
        case Usage():
            return pb.ChatEvent(
                usage=pb.Usage(
                    prompt_tokens=event.prompt_tokens,
                    cached_tokens=event.cached_tokens,
                    completion_tokens=event.completion_tokens,
                    reasoning_tokens=event.reasoning_tokens,
                )
            )


def event_from_proto(message: pb.ChatEvent) -> ChatEvent:
    """Raises SwarmError INVALID_FIELD for an event of a kind that this version does not know."""
    candidate = message.candidate
    match message.WhichOneof("event"):
        case "content":
            return ContentDelta(candidate, message.content.text)
        case "reasoning":
            return ReasoningDelta(candidate, message.reasoning.text)
        case "token_logprobs":
            return TokenLogprobs(candidate, logprobs_from_proto(message.token_logprobs))
        case "drawn_tokens":
            return DrawnTokens(candidate, _drawn_from_proto(message.drawn_tokens))
        case "tool_call_arguments":
            arguments = message.tool_call_arguments
            return ToolCallArguments(candidate, arguments.index, arguments.fragment)
        case "tool_call_started":
            started = message.tool_call_started
            return ToolCallStarted(candidate, started.index, started.id, started.name)
        case "tool_call_ended":
            return ToolCallEnded(candidate, message.tool_call_ended.index)
        case "candidate_finished":
            finished = message.candidate_finished
            reason = _REASONS.get(finished.reason)
            if reason is None:
                raise invalid("candidate_finished.reason", f"unknown finish reason {finished.reason}")
            return CandidateFinished(
                candidate,
                reason,
                finished.completion_tokens,
                finished.reasoning_tokens,
                finished.logprob_sum,
                finished.argument_logprob if finished.HasField("argument_logprob") else None,
            )
        case "accepted":
            accepted = message.accepted
            return Accepted(
                accepted.model,
                accepted.prompt_tokens,
                accepted.context_length,
                accepted.worker,
                accepted.constrained,
            )
        case "prefill_progress":
            progress = message.prefill_progress
            return PrefillProgress(progress.done_tokens, progress.total_tokens, progress.cached_tokens)
        case "usage":
            usage = message.usage
            return Usage(
                usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens, usage.reasoning_tokens
            )
        case _:
            raise invalid("event", "a chat event of a kind that this version does not know")

"""An OpenAI chat completion request to the swarm's `DecideRequest`. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway.schemas import messages as openai
from gateway.schemas.chat import ChatCompletionRequest, NamedToolChoice, SwarmOptions
from gateway.schemas.rules import RESPONSE_SCHEMA, schema_text
from services.common.chat import (
    ChatRequest,
    Message,
    ResponseFormat,
    ResponseKind,
    Role,
    Sampling,
    Tool,
    ToolCall,
    ToolChoice,
    ToolChoiceMode,
)
from services.common.chat_proto import request_to_proto
from services.common.errors import invalid
from swarm.consensus.v1 import consensus_pb2 as pb

AGENT_MODEL = "local-swarm-agent"

# As llama.cpp has it: the first line of a grammar in Lark's notation.
_LARK = "%llguidance"
_STRATEGY = "x-swarm-strategy"
_SESSION = re.compile(r"[\x21-\x7e]{1,256}")


def decide_request(
    request: ChatCompletionRequest, headers: Mapping[str, str], most_choices: int
) -> pb.DecideRequest:
    """What consensus is asked. Raises INVALID_FIELD for `n` above `most_choices` or a bad header."""
    choices = request.n or 1
    if choices > most_choices:
        raise invalid("n", f"Invalid value for 'n': at most {most_choices} choices here (got {choices}).")
    session = (
        _session(headers, "x-session-affinity")
        or _session(headers, "x-session-id")
        or request.prompt_cache_key
        or ""
    )
    chat = ChatRequest(
        model=request.model,
        messages=tuple(_message(message) for message in request.messages),
        tools=tuple(
            Tool(
                tool.function.name,
                tool.function.description or "",
                ""
                if tool.function.parameters is None
                else schema_text(tool.function.parameters, f"tools[{i}].function.parameters"),
                tool.function.strict is True,
            )
            for i, tool in enumerate(request.tools or ())
        ),
        tool_choice=_tool_choice(request),
        parallel_tool_calls=request.parallel_tool_calls is not False,
        sampling=_sampling(request),
        session_id=session,
        parent_session_id=_session(headers, "x-parent-session-id"),
        response_format=_response_format(request),
    )
    asked = request.swarm or SwarmOptions()
    return pb.DecideRequest(
        chat=request_to_proto(chat),
        choices=choices,
        voters=asked.voters or 0,
        agent=request.model == AGENT_MODEL,
        strategy=headers.get(_STRATEGY, "").strip() if asked.strategy is None else asked.strategy,
        early_stop=asked.early_stop or "",
        min_argument_logprob=asked.min_argument_logprob,
    )


def _message(message: openai.Message) -> Message:
    text = openai.text_of(message.content)
    name = message.name or ""
    if isinstance(message, openai.AssistantMessage):
        calls = tuple(
            ToolCall(call.id, call.function.name, call.function.arguments)
            for call in message.tool_calls or ()
        )
        return Message(Role.ASSISTANT, text, message.reasoning_content or "", calls, name=name)
    if isinstance(message, openai.ToolMessage):
        return Message(Role.TOOL, text, tool_call_id=message.tool_call_id, name=name)
    role = Role.USER if message.role == "user" else Role.SYSTEM
    return Message(role, text, name=name)


def _tool_choice(request: ChatCompletionRequest) -> ToolChoice:
    choice = request.tool_choice
    if isinstance(choice, NamedToolChoice):
        return ToolChoice(ToolChoiceMode.NAMED, choice.function.name)
    return ToolChoice(ToolChoiceMode(choice) if choice is not None else ToolChoiceMode.AUTO)


def _response_format(request: ChatCompletionRequest) -> ResponseFormat:
    if grammar := request.grammar:
        lark = grammar.lstrip().startswith(_LARK)
        return ResponseFormat(ResponseKind.LARK if lark else ResponseKind.GBNF, grammar=grammar)
    asked = request.response_format
    if asked is None:
        return ResponseFormat()
    if asked.type == "json_schema":
        text = schema_text(asked.json_schema.schema_, RESPONSE_SCHEMA, of_object=False)
        return ResponseFormat(ResponseKind.JSON_SCHEMA, text)
    return ResponseFormat(ResponseKind(asked.type))


def _sampling(request: ChatCompletionRequest) -> Sampling:
    stop = request.stop
    return Sampling(
        temperature=request.temperature,
        top_p=request.top_p,
        top_k=request.top_k,
        min_p=request.min_p,
        frequency_penalty=request.frequency_penalty,
        presence_penalty=request.presence_penalty,
        seed=request.seed,
        max_tokens=request.max_completion_tokens or request.max_tokens,
        stop=() if stop is None else (stop,) if isinstance(stop, str) else tuple(stop),
        typical_p=request.typical_p,
        repeat_penalty=request.repeat_penalty,
        repeat_last_n=request.repeat_last_n,
        dry_multiplier=request.dry_multiplier,
        dry_base=request.dry_base,
        dry_allowed_length=request.dry_allowed_length,
        dry_penalty_last_n=request.dry_penalty_last_n,
        dry_sequence_breakers=tuple(request.dry_sequence_breakers or ()),
        xtc_probability=request.xtc_probability,
        xtc_threshold=request.xtc_threshold,
        mirostat=request.mirostat,
        mirostat_tau=request.mirostat_tau,
        mirostat_eta=request.mirostat_eta,
        logit_bias=tuple((int(token), bias) for token, bias in (request.logit_bias or {}).items()),
        top_logprobs=(request.top_logprobs or 0) if request.logprobs else None,
    )


def _session(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name, "")
    if value and not _SESSION.fullmatch(value):
        raise invalid(name, f"The header {name} must be 1 to 256 printable ASCII characters without blanks.")
    return value

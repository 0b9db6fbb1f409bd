"""POST /v1/chat/completions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial

import structlog
from fastapi import APIRouter, Request, Response

from gateway.body import parse_object, read_body
from gateway.edge import edge_of
from gateway.openapi import errors, json_body
from gateway.schemas.answers import ChatCompletion
from gateway.schemas.chat import ChatCompletionRequest, parse
from gateway.sse import StreamAnswer, WholeAnswer
from gateway.translate import decide_request
from swarm.consensus.v1 import consensus_pb2 as pb

# Bytes. Below it a body takes a millisecond or two.
LONG_BODY = 256 * 1024

router = APIRouter()
log = structlog.get_logger()


@router.post(
    "/v1/chat/completions",
    summary="Answer a conversation",
    responses={
        200: {
            "model": ChatCompletion,
            "description": "The answer; with `stream`, events up to `[DONE]` or an error event",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **errors(400, 403, 404, 413, 415, 429, 500, 503, 504),
    },
    openapi_extra=json_body(ChatCompletionRequest),
)
async def create_chat_completion(request: Request) -> Response:
    """OpenAI's chat completion. A parameter is honoured or refused by name, never ignored."""
    edge = edge_of(request)
    raw = await read_body(request, edge.settings.max_body)
    understand = partial(_understand, raw, request.headers, edge.settings.slots)
    # A long body must not hold up the streams of others.
    body, asked = understand() if len(raw) < LONG_BODY else await asyncio.to_thread(understand)
    log.debug("chat", model=body.model, stream=bool(body.stream), messages=len(body.messages))
    decide = partial(edge.consensus.decide, asked)
    if not body.stream:
        return WholeAnswer(decide, asked.choices, edge.lifetime)
    include_usage = body.stream_options is not None and body.stream_options.include_usage is True
    return StreamAnswer(decide, asked.choices, edge.lifetime, include_usage, edge.settings.heartbeat)


def _understand(
    raw: bytes, headers: Mapping[str, str], most_choices: int
) -> tuple[ChatCompletionRequest, pb.DecideRequest]:
    body = parse(parse_object(raw))
    return body, decide_request(body, headers, most_choices)

"""A simulated voter in a process of its own: a real `InferenceService` that draws its answer.

`python -m services.consensus.evaluation.oracle --name voter-0` prints its port and serves until its input
ends, which happens at the latest when the process that started it does. What it answers is told by the
question: see `ask`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict
from typing import Any

from services.common.chat import (
    Accepted,
    CandidateFinished,
    ChatEvent,
    ChatRequest,
    ContentDelta,
    FinishReason,
    Message,
    ModelInfo,
    Role,
    Sampling,
    Tool,
    ToolCallArguments,
    ToolCallEnded,
    ToolCallStarted,
    Usage,
)
from services.common.chat_proto import event_to_proto, model_to_proto, request_from_proto
from services.common.errors import Reason, SwarmError, invalid
from services.common.logging import configure
from services.common.server import ServiceServer
from services.consensus.evaluation.population import Population, Reply, item
from swarm.inference.v1 import inference_pb2, inference_pb2_grpc

SERVICE = "swarm.inference.v1.InferenceService"
MODEL = ModelInfo("simulated", 4096, "", 0)
_PROMPT_TOKENS = 10
_TOOL = Tool(
    "answer",
    "Gives the answer.",
    json.dumps({"type": "object", "properties": {"value": {"type": "string"}}, "required": ["value"]}),
)


def ask(population: Population, seed: int, number: int, words: bool = False) -> ChatRequest:
    """The question for item `number`, to be answered by a call or in `words`.

    Candidates are told apart by their seeds, which count from 0.
    """
    content = json.dumps({"population": asdict(population), "seed": seed, "item": number})
    return ChatRequest(
        model=MODEL.id,
        messages=(Message(Role.USER, content),),
        tools=() if words else (_TOOL,),
        sampling=Sampling(temperature=1.0, seed=0),
    )


def value_of(arguments_json: str) -> str:
    """The answer in the arguments of a call."""
    return str(json.loads(arguments_json)["value"])


class Oracle(inference_pb2_grpc.InferenceServiceServicer):
    """Answers under the name `name`."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def Chat(
        self, request: inference_pb2.ChatRequest, context: Any
    ) -> AsyncIterator[inference_pb2.ChatEvent]:
        chat = request_from_proto(request)
        replies = [self._reply(chat, candidate) for candidate in range(chat.candidates)]
        yield event_to_proto(Accepted(MODEL.id, _PROMPT_TOKENS, MODEL.context_length, self._name))
        if any(reply.lost for reply in replies):
            raise SwarmError(Reason.WORKER_LOST, f"The simulated {self._name} is lost.")
        for candidate, reply in enumerate(replies):
            for event in _events(candidate, reply, words=not chat.tools):
                yield event_to_proto(event)
        yield event_to_proto(Usage(_PROMPT_TOKENS, 0, sum(reply.tokens for reply in replies)))

    async def ListModels(
        self, request: inference_pb2.ListModelsRequest, context: Any
    ) -> inference_pb2.ListModelsResponse:
        return inference_pb2.ListModelsResponse(models=[model_to_proto(MODEL)])

    async def GetStatus(
        self, request: inference_pb2.GetStatusRequest, context: Any
    ) -> inference_pb2.GetStatusResponse:
        return inference_pb2.GetStatusResponse(worker=self._name, slots_total=1)

    def _reply(self, chat: ChatRequest, candidate: int) -> Reply:
        try:
            asked = json.loads(chat.messages[-1].content)
            population = Population(**asked["population"])
            drawn = item(population, asked["seed"], asked["item"])
        except (IndexError, ValueError, TypeError, KeyError) as error:
            raise invalid(
                f"messages[{len(chat.messages) - 1}].content",
                f"expected a question of the evaluation: {error}",
            ) from error
        if chat.sampling.seed is None:
            raise invalid("seed", "expected the candidate's number, got none")
        number, place = divmod(chat.sampling.seed + candidate, population.voters)
        # A reply belongs to the candidate. Where nobody is lost it is always the same worker; otherwise who
        # gets which candidate of the second round depends on who was seen to fail.
        return drawn.rounds[number][place]


def _events(candidate: int, reply: Reply, words: bool) -> Iterator[ChatEvent]:
    logprob = reply.mean_logprob * reply.tokens
    if words:
        yield ContentDelta(candidate, reply.value)
        yield CandidateFinished(candidate, FinishReason.STOP, reply.tokens, 0, logprob)
        return
    arguments = json.dumps({"value": reply.value})
    middle = len(arguments) // 2
    yield ToolCallStarted(candidate, 0, f"call_{candidate}", _TOOL.name)
    yield ToolCallArguments(candidate, 0, arguments[:middle])
    yield ToolCallArguments(candidate, 0, arguments[middle:])
    yield ToolCallEnded(candidate, 0)
    yield CandidateFinished(candidate, FinishReason.TOOL_CALLS, reply.tokens, 0, logprob)


async def serve(name: str) -> None:
    server = ServiceServer(name, "127.0.0.1:0", drain=1.0)
    inference_pb2_grpc.add_InferenceServiceServicer_to_server(Oracle(name), server.grpc)
    await server.start((SERVICE,))
    try:
        await server.serving()
        print(server.port, flush=True)
        await asyncio.to_thread(sys.stdin.buffer.read)
    finally:
        await server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m services.consensus.evaluation.oracle")
    parser.add_argument("--name", required=True)
    # Voters fail on purpose; what matters reaches the one who asks.
    configure("oracle", "error")
    asyncio.run(serve(parser.parse_args().name))


if __name__ == "__main__":
    main()

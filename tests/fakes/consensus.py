"""A consensus service that plays a script, on a real server at port 0."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable

import grpc

from services.common.errors import SwarmError
from services.common.server import ServiceServer
from swarm.consensus.v1 import consensus_pb2 as pb
from swarm.consensus.v1 import consensus_pb2_grpc
from swarm.inference.v1 import inference_pb2 as inference

SERVICE = "swarm.consensus.v1.ConsensusService"

Step = pb.DecideEvent | SwarmError | float | asyncio.Event
Script = Iterable[Step]
REASONS = {
    "stop": inference.FINISH_REASON_STOP,
    "length": inference.FINISH_REASON_LENGTH,
    "tool_calls": inference.FINISH_REASON_TOOL_CALLS,
}


def chat(choice: int = 0, **event: object) -> pb.DecideEvent:
    return pb.DecideEvent(choice=choice, chat=inference.ChatEvent(**event))  # type: ignore[arg-type]


def accepted(model: str = "tiny", prompt_tokens: int = 7) -> pb.DecideEvent:
    return chat(
        accepted=inference.Accepted(
            model=model, prompt_tokens=prompt_tokens, context_length=4096, worker="Zeus"
        )
    )


def content(text: str, choice: int = 0) -> pb.DecideEvent:
    return chat(choice, content=inference.ContentDelta(text=text))


def reasoning(text: str, choice: int = 0) -> pb.DecideEvent:
    return chat(choice, reasoning=inference.ReasoningDelta(text=text))


def logprobs(*tokens: tuple[bytes, float], choice: int = 0) -> pb.DecideEvent:
    """Each token with itself and a less likely `b"~"` as alternatives."""
    return chat(
        choice,
        token_logprobs=inference.TokenLogprobs(
            tokens=[
                inference.TokenLogprob(
                    token=token,
                    logprob=logprob,
                    top=[
                        inference.TokenLogprob(token=token, logprob=logprob),
                        inference.TokenLogprob(token=b"~", logprob=logprob - 1),
                    ],
                )
                for token, logprob in tokens
            ]
        ),
    )


def started(call_id: str, name: str, index: int = 0, choice: int = 0) -> pb.DecideEvent:
    return chat(choice, tool_call_started=inference.ToolCallStarted(index=index, id=call_id, name=name))


def arguments(fragment: str, index: int = 0, choice: int = 0) -> pb.DecideEvent:
    return chat(choice, tool_call_arguments=inference.ToolCallArguments(index=index, fragment=fragment))


def ended(index: int = 0, choice: int = 0) -> pb.DecideEvent:
    return chat(choice, tool_call_ended=inference.ToolCallEnded(index=index))


def finished(reason: str = "stop", choice: int = 0, tokens: int = 3) -> pb.DecideEvent:
    return chat(
        choice,
        candidate_finished=inference.CandidateFinished(reason=REASONS[reason], completion_tokens=tokens),
    )


def usage(prompt: int = 7, completion: int = 3, cached: int = 0, thinking: int = 0) -> pb.DecideEvent:
    return chat(
        usage=inference.Usage(
            prompt_tokens=prompt,
            cached_tokens=cached,
            completion_tokens=completion,
            reasoning_tokens=thinking,
        )
    )


def heartbeat(waiting_for: str = "votes") -> pb.DecideEvent:
    return pb.DecideEvent(heartbeat=pb.Heartbeat(waiting_for=waiting_for))


def ballots(strategy: str = "tool_vote", quorum: int = 2, decided: bool = True) -> pb.DecideEvent:
    return pb.DecideEvent(
        ballots=pb.Ballots(
            strategy=strategy,
            quorum=quorum,
            decided=decided,
            round=1,
            generated_tokens=9,
            ballots=[pb.Ballot(worker="Zeus", candidate=0, summary="text", weight=1.0, won=True)],
        )
    )


def words(*texts: str) -> list[pb.DecideEvent]:
    """A whole answer in words."""
    count = len(texts)
    return [accepted(), *(content(text) for text in texts), finished(tokens=count), usage(completion=count)]


class FakeConsensus(consensus_pb2_grpc.ConsensusServiceServicer):
    """Plays `script` (or what `answer` makes of the request): events are sent, a float is a pause in seconds,
    an Event is waited for, and a SwarmError is raised."""

    def __init__(self) -> None:
        self.script: Script = words("Hello", " there")
        self.answer: Callable[[pb.DecideRequest], Script] | None = None
        self.models = [
            inference.ModelInfo(id="local-swarm", context_length=4096, created_unix=1),
            inference.ModelInfo(id="local-swarm-agent", context_length=4096, created_unix=1),
            inference.ModelInfo(id="tiny", context_length=4096, tool_format="hermes_json", created_unix=1),
        ]
        self.requests: list[pb.DecideRequest] = []
        self.metadata: list[dict[str, str]] = []
        self.time_remaining: list[float | None] = []
        self.asked = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def Decide(
        self, request: pb.DecideRequest, context: grpc.aio.ServicerContext[pb.DecideRequest, pb.DecideEvent]
    ) -> AsyncIterator[pb.DecideEvent]:
        self.requests.append(request)
        self.asked.set()
        self.metadata.append({key: str(value) for key, value in context.invocation_metadata() or ()})
        self.time_remaining.append(context.time_remaining())
        try:
            for step in self.answer(request) if self.answer else self.script:
                if isinstance(step, pb.DecideEvent):
                    yield step
                elif isinstance(step, SwarmError):
                    raise step
                elif isinstance(step, asyncio.Event):
                    await step.wait()
                else:
                    await asyncio.sleep(step)
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.set()
            raise

    async def ListModels(
        self,
        request: pb.ListModelsRequest,
        context: grpc.aio.ServicerContext[pb.ListModelsRequest, pb.ListModelsResponse],
    ) -> pb.ListModelsResponse:
        return pb.ListModelsResponse(models=self.models)


@contextlib.asynccontextmanager
async def serving(fake: FakeConsensus) -> AsyncIterator[str]:
    """Serves `fake` and yields its address."""
    server = ServiceServer("consensus", "127.0.0.1:0", drain=0.0)
    consensus_pb2_grpc.add_ConsensusServiceServicer_to_server(fake, server.grpc)
    await server.start([SERVICE])
    await server.serving()
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        await server.stop()

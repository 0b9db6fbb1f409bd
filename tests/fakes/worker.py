"""A worker that plays scripts, on a real server: `async with FakeWorker("Zeus").running() as worker`."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

from services.common.chat import (
    Accepted,
    CandidateFinished,
    ChatEvent,
    ContentDelta,
    FinishReason,
    PrefillProgress,
    ReasoningDelta,
    ToolCallArguments,
    ToolCallEnded,
    ToolCallStarted,
    Usage,
)
from services.common.chat_proto import event_to_proto
from services.common.errors import SwarmError
from services.common.server import ServiceServer
from swarm.discovery.v1 import discovery_pb2
from swarm.inference.v1 import inference_pb2, inference_pb2_grpc

SERVICE = "swarm.inference.v1.InferenceService"


class Crash:
    """A step: the worker's process dies here."""


# What a candidate does next: say something, wait for an event, fail the whole call, or die.
Step = ChatEvent | asyncio.Event | SwarmError | Crash
Answer = Sequence[Step]


def say(*texts: str, wait: asyncio.Event | None = None, tokens: int | None = None) -> list[Step]:
    """An answer in words; `wait` holds its end back."""
    gate: list[Step] = [wait] if wait else []
    pieces = [ContentDelta(0, text) for text in texts]
    return [*pieces, *gate, done(FinishReason.STOP, len(texts) if tokens is None else tokens)]


def call(
    name: str,
    arguments: str,
    prose: str = "",
    wait: asyncio.Event | None = None,
    logprob: float = -1.0,
    call_id: str = "call_1",
) -> list[Step]:
    """An answer with one tool call, its arguments in two fragments; `wait` comes after the prose."""
    middle = len(arguments) // 2
    return [
        *([ContentDelta(0, prose)] if prose else []),
        *([wait] if wait else []),
        ToolCallStarted(0, 0, call_id, name),
        ToolCallArguments(0, 0, arguments[:middle]),
        ToolCallArguments(0, 0, arguments[middle:]),
        ToolCallEnded(0, 0),
        done(FinishReason.TOOL_CALLS, 10, logprob),
    ]


def bash(command: str, **options: Any) -> list[Step]:
    return call("bash", f'{{"command": "{command}"}}', **options)


def done(reason: FinishReason, tokens: int = 3, logprob: float = -1.0) -> CandidateFinished:
    return CandidateFinished(0, reason, tokens, 0, logprob)


def think(text: str) -> Step:
    return ReasoningDelta(0, text)


class FakeWorker(inference_pb2_grpc.InferenceServiceServicer):
    """Each Chat call plays the next script, the last one again and again; a script has an answer for each
    candidate. `refusal` fails calls before they are accepted. `constrained`: it says that a grammar holds its
    calls. `status` is told beside name and slots, or nothing ever while `silent`."""

    def __init__(self, name: str, model: str = "tiny", context_length: int = 4096, slots: int = 8) -> None:
        self.name = name
        self.model = model
        self.context_length = context_length
        self.slots = slots
        self.refusal: SwarmError | None = None
        self.requests: list[inference_pb2.ChatRequest] = []
        self.cancels = 0
        self.cancelled = asyncio.Event()
        self.asked = asyncio.Event()
        self.prompt_tokens = 20
        self.cached_tokens = 5
        self.tells_prefill = False
        self.constrained = False
        self.status = inference_pb2.GetStatusResponse()
        self.silent = False
        self.address = ""
        self.server: ServiceServer | None = None
        self._death: asyncio.Task[None] | None = None
        self._scripts: deque[Sequence[Answer]] = deque()

    def script(self, *answers: Answer) -> FakeWorker:
        """Adds a call's script: one answer for each candidate, repeated in turn if there are more."""
        self._scripts.append(answers)
        return self

    @property
    def member(self) -> discovery_pb2.Member:
        return discovery_pb2.Member(
            id=f"worker-{self.name}",
            name=self.name,
            kind=discovery_pb2.MEMBER_KIND_WORKER,
            address=self.address,
            slots=self.slots,
            models=[
                inference_pb2.ModelInfo(
                    id=self.model,
                    context_length=self.context_length,
                    tool_format="hermes_json",
                    created_unix=1,
                )
            ],
        )

    async def Chat(
        self, request: inference_pb2.ChatRequest, context: Any
    ) -> AsyncIterator[inference_pb2.ChatEvent]:
        self.requests.append(request)
        self.asked.set()
        if self.refusal is not None:
            raise self.refusal
        answers = self._scripts.popleft() if len(self._scripts) > 1 else self._scripts[0]
        queue: asyncio.Queue[ChatEvent | SwarmError | None] = asyncio.Queue()
        count = max(1, request.candidates)
        async with contextlib.AsyncExitStack() as stack:
            players = [
                asyncio.create_task(self._play(index, answers[index % len(answers)], queue))
                for index in range(count)
            ]
            stack.push_async_callback(_cancel, players)
            try:
                yield event_to_proto(
                    Accepted(self.model, self.prompt_tokens, self.context_length, self.name, self.constrained)
                )
                if self.tells_prefill:
                    yield event_to_proto(
                        PrefillProgress(self.prompt_tokens, self.prompt_tokens, self.cached_tokens)
                    )
                tokens = 0
                ended = 0
                while ended < count:
                    event = await queue.get()
                    if event is None:
                        ended += 1
                    elif isinstance(event, SwarmError):
                        raise event
                    else:
                        tokens += event.completion_tokens if isinstance(event, CandidateFinished) else 0
                        yield event_to_proto(event)
                yield event_to_proto(Usage(self.prompt_tokens, self.cached_tokens, tokens))
            except (asyncio.CancelledError, GeneratorExit):
                self.cancels += 1
                self.cancelled.set()
                raise

    async def _play(
        self, candidate: int, answer: Answer, queue: asyncio.Queue[ChatEvent | SwarmError | None]
    ) -> None:
        for step in answer:
            if isinstance(step, asyncio.Event):
                await step.wait()
            elif isinstance(step, Crash):
                # In a task of its own: the death of the server cancels this one.
                self._death = asyncio.create_task(self.kill())
                await asyncio.Event().wait()
            elif isinstance(step, SwarmError):
                await queue.put(step)
                return
            else:
                await queue.put(replace(step, candidate=candidate))
        await queue.put(None)

    async def ListModels(
        self, request: inference_pb2.ListModelsRequest, context: Any
    ) -> inference_pb2.ListModelsResponse:
        return inference_pb2.ListModelsResponse(models=self.member.models)

    async def GetStatus(
        self, request: inference_pb2.GetStatusRequest, context: Any
    ) -> inference_pb2.GetStatusResponse:
        if self.silent:
            await asyncio.Event().wait()
        status = inference_pb2.GetStatusResponse(worker=self.name, slots_total=self.slots, slots_busy=1)
        status.MergeFrom(self.status)
        return status

    async def start(self, address: str = "127.0.0.1:0") -> None:
        self.server = ServiceServer("worker", address, drain=0.0)
        inference_pb2_grpc.add_InferenceServiceServicer_to_server(self, self.server.grpc)
        await self.server.start([SERVICE])
        await self.server.serving()
        self.address = f"127.0.0.1:{self.server.port}"

    async def kill(self) -> None:
        """All connections break and nobody listens any more."""
        server, self.server = self.server, None
        if server is not None:
            await server.grpc.stop(None)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[FakeWorker]:
        await self.start()
        try:
            yield self
        finally:
            await self.kill()
            if self._death is not None:
                await self._death


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

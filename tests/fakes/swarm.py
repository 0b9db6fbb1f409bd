"""A real consensus service among fakes, and a client that gathers what it says."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from services.common.channel import open_channel
from services.common.chat import ChatRequest, Message, ModelInfo, Role, Sampling, Tool
from services.common.chat_proto import request_to_proto
from services.common.grpc_errors import from_rpc_error
from services.common.settings import Settings
from services.consensus.routing import route
from services.consensus.service import running
from swarm.consensus.v1 import consensus_pb2, consensus_pb2_grpc
from swarm.inference.v1 import inference_pb2, inference_pb2_grpc
from tests.fakes.discovery import FakeDiscovery
from tests.fakes.tool_server import COMMAND_SCHEMA, FakeToolServer
from tests.fakes.tool_server_process import ToolServerProcess
from tests.fakes.worker import FakeWorker

BASH = Tool("bash", "Runs it.", COMMAND_SCHEMA)
READ = Tool(
    "read",
    "Reads it.",
    json.dumps({"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}),
)
TIMEOUT = 15.0


def request(
    tools: tuple[Tool, ...] = (BASH, READ),
    model: str = "tiny",
    choices: int = 1,
    voters: int = 0,
    agent: bool = False,
    session_id: str = "s",
    strategy: str = "",
    early_stop: str = "",
    **sampling: Any,
) -> consensus_pb2.DecideRequest:
    chat = ChatRequest(
        model=model,
        messages=(Message(Role.USER, "go"),),
        tools=tools,
        sampling=Sampling(**sampling),
        session_id=session_id,
    )
    return consensus_pb2.DecideRequest(
        chat=request_to_proto(chat),
        choices=choices,
        voters=voters,
        agent=agent,
        strategy=strategy,
        early_stop=early_stop,
    )


@dataclass
class Answer:
    """All events of one decision, and what they add up to."""

    events: list[consensus_pb2.DecideEvent] = field(default_factory=list)

    def chat(self, kind: str, choice: int = 0) -> list[Any]:
        return [
            getattr(event.chat, kind)
            for event in self.events
            if event.WhichOneof("event") == "chat"
            and event.choice == choice
            and event.chat.WhichOneof("event") == kind
        ]

    def kinds(self) -> list[str]:
        return [
            str(event.chat.WhichOneof("event"))
            if event.WhichOneof("event") == "chat"
            else str(event.WhichOneof("event"))
            for event in self.events
        ]

    def content(self, choice: int = 0) -> str:
        return "".join(delta.text for delta in self.chat("content", choice))

    def reasoning(self, choice: int = 0) -> str:
        return "".join(delta.text for delta in self.chat("reasoning", choice))

    def calls(self, choice: int = 0) -> list[tuple[str, str, str]]:
        """Id, name and arguments of each complete call."""
        fragments = self.chat("tool_call_arguments", choice)
        ended = {each.index for each in self.chat("tool_call_ended", choice)}
        return [
            (each.id, each.name, "".join(part.fragment for part in fragments if part.index == each.index))
            for each in self.chat("tool_call_started", choice)
            if each.index in ended
        ]

    def reason(self, choice: int = 0) -> str:
        (finished,) = self.chat("candidate_finished", choice)
        return inference_pb2.FinishReason.Name(finished.reason).removeprefix("FINISH_REASON_").lower()

    @property
    def ballots(self) -> consensus_pb2.Ballots:
        (ballots,) = [event.ballots for event in self.events if event.WhichOneof("event") == "ballots"]
        return ballots

    @property
    def usage(self) -> inference_pb2.Usage:
        (usage,) = self.chat("usage")
        return usage


async def first(stream: Any, kind: str) -> tuple[Any, list[str]]:
    """Reads until the first event of `kind`; also the kinds of all that came before it."""
    before: list[str] = []
    async with asyncio.timeout(TIMEOUT):
        async for event in stream:
            found = event.chat.WhichOneof("event") or event.WhichOneof("event")
            if found == kind:
                return event, before
            before.append(found)
    raise AssertionError(f"no {kind} among {before}")


class Swarm:
    """`decide` gathers a whole answer; `stream` gives the open call."""

    def __init__(self, discovery: FakeDiscovery, address: str, channel: grpc.aio.Channel) -> None:
        self.discovery = discovery
        self.address = address
        self.consensus = consensus_pb2_grpc.ConsensusServiceStub(channel)
        self.inference = inference_pb2_grpc.InferenceServiceStub(channel)

    def stream(self, asked: consensus_pb2.DecideRequest, timeout: float = TIMEOUT) -> Any:
        return self.consensus.Decide(asked, timeout=timeout)

    async def decide(self, asked: consensus_pb2.DecideRequest, timeout: float = TIMEOUT) -> Answer:
        """Raises SwarmError."""
        answer = Answer()
        await self.gather(asked, answer, timeout)
        return answer

    async def gather(
        self,
        asked: consensus_pb2.DecideRequest,
        answer: Answer,
        timeout: float = TIMEOUT,
        after: tuple[str, asyncio.Event] | None = None,
    ) -> None:
        """Fills `answer` as the events come; one of the kind in `after` sets its event. Raises SwarmError."""
        try:
            async for event in self.stream(asked, timeout):
                answer.events.append(event)
                if after is not None and answer.kinds()[-1] == after[0]:
                    after[1].set()
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error

    async def models(self) -> list[inference_pb2.ModelInfo]:
        answer = await self.consensus.ListModels(consensus_pb2.ListModelsRequest(), timeout=TIMEOUT)
        return list(answer.models)

    async def knows(self, *ids: str) -> None:
        """Waits until exactly these models are offered, the swarm's own names aside."""
        async with asyncio.timeout(TIMEOUT):
            while [model.id for model in (await self.models())[2:]] != sorted(ids):
                pass


@dataclass(frozen=True)
class _Idle:
    id: str
    models: tuple[ModelInfo, ...]
    name: str = ""
    slots: int = 1
    in_flight: int = 0
    usable: bool = True


def session_led_by(leader: FakeWorker, *others: FakeWorker) -> str:
    """A session whose candidate 0 goes to `leader` while all these workers are idle."""
    model = ModelInfo(leader.model, leader.context_length, "", 0)
    idle = [_Idle(worker.member.id, (model,)) for worker in (leader, *others)]
    sessions = (f"session {number}" for number in range(1000))
    return next(each for each in sessions if route(leader.model, idle, each).workers[0] is idle[0])


@contextlib.asynccontextmanager
async def swarm_of(
    home: Path, *members: FakeWorker | FakeToolServer | ToolServerProcess, **settings: Any
) -> AsyncIterator[Swarm]:
    """Consensus with these members, which are running already, in its list."""
    async with FakeDiscovery().running() as discovery:
        discovery.publish(*(member.member for member in members))
        chosen = Settings(**{"home": home, "drain": 0.0, "lease_renew": 0.3, **settings})
        async with (
            running(chosen, "127.0.0.1:0", discovery.address) as server,
            open_channel(f"127.0.0.1:{server.port}") as channel,
        ):
            swarm = Swarm(discovery, f"127.0.0.1:{server.port}", channel)
            await swarm.knows(*{member.model for member in members if isinstance(member, FakeWorker)})
            yield swarm

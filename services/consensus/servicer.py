"""ConsensusService, and InferenceService because a swarm is a worker: convert and call, nothing else."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from grpc.aio import ServicerContext

from services.common.channel import deadline
from services.common.chat_proto import event_to_proto, model_to_proto, request_from_proto
from services.common.errors import Reason, SwarmError
from services.common.logging import request_id
from services.common.settings import Settings
from services.consensus.agent import Agent, Bounds
from services.consensus.convert import (
    add_status,
    decide_event_to_proto,
    decision_to_proto,
    question_from_proto,
)
from services.consensus.decide import Decider
from services.consensus.events import Question, Spoken
from services.consensus.history import History
from services.consensus.members import Members
from services.consensus.routing import AGENT, AUTO, listed
from swarm.consensus.v1 import consensus_pb2, consensus_pb2_grpc
from swarm.inference.v1 import inference_pb2, inference_pb2_grpc

_STATUS_TIMEOUT = 2.0


class ConsensusServicer(consensus_pb2_grpc.ConsensusServiceServicer):
    def __init__(self, members: Members, decider: Decider, settings: Settings) -> None:
        self._members = members
        self._decider = decider
        self._settings = settings
        self._history = History(time.time)

    async def Decide(
        self, request: consensus_pb2.DecideRequest, context: ServicerContext[Any, Any]
    ) -> AsyncIterator[consensus_pb2.DecideEvent]:
        question = question_from_proto(request)
        until = _until(self._settings, context)
        if question.agent:
            agent = Agent(
                self._decider,
                self._members,
                Bounds(
                    self._settings.agent_steps, self._settings.agent_tokens, self._settings.tool_server_wait
                ),
                self._settings.heartbeat,
                session_id=question.chat.session_id or request_id.get(),
                run_id=secrets.token_hex(16),
            )
            events = agent.events(question, until)
        else:
            events = self._decider.decide(question, until)
        async with aclosing(self._history.noting(events, request_id.get())) as open_events:
            async for event in open_events:
                yield decide_event_to_proto(event)

    async def ListDecisions(
        self, request: consensus_pb2.ListDecisionsRequest, context: ServicerContext[Any, Any]
    ) -> consensus_pb2.ListDecisionsResponse:
        latest = self._history.latest(request.limit)
        return consensus_pb2.ListDecisionsResponse(decisions=[decision_to_proto(each) for each in latest])

    async def ListModels(
        self, request: consensus_pb2.ListModelsRequest, context: ServicerContext[Any, Any]
    ) -> consensus_pb2.ListModelsResponse:
        models = listed(self._members.workers())
        return consensus_pb2.ListModelsResponse(models=[model_to_proto(model) for model in models])


class SwarmAsWorker(inference_pb2_grpc.InferenceServiceServicer):
    """A peer swarm's voter: one candidate is a decision of this swarm, several are as many answers."""

    def __init__(self, members: Members, decider: Decider, settings: Settings) -> None:
        self._members = members
        self._decider = decider
        self._settings = settings

    async def Chat(
        self, request: inference_pb2.ChatRequest, context: ServicerContext[Any, Any]
    ) -> AsyncIterator[inference_pb2.ChatEvent]:
        chat = request_from_proto(request)
        if chat.model == AGENT:
            raise SwarmError(
                Reason.MODEL_NOT_FOUND, f"{AGENT} runs tools and is no worker's model; ask {AUTO}.", "model"
            )
        question = Question(chat, choices=chat.candidates)
        async with aclosing(self._decider.decide(question, _until(self._settings, context))) as events:
            async for event in events:
                if isinstance(event, Spoken):
                    yield event_to_proto(event.event)

    async def ListModels(
        self, request: inference_pb2.ListModelsRequest, context: ServicerContext[Any, Any]
    ) -> inference_pb2.ListModelsResponse:
        offered = [model for model in listed(self._members.workers()) if model.id != AGENT]
        return inference_pb2.ListModelsResponse(models=[model_to_proto(model) for model in offered])

    async def GetStatus(
        self, request: inference_pb2.GetStatusRequest, context: ServicerContext[Any, Any]
    ) -> inference_pb2.GetStatusResponse:
        """The sum over the workers that answer."""
        timeout = deadline(_STATUS_TIMEOUT, context)
        answers = await asyncio.gather(
            *(worker.status(timeout) for worker in self._members.workers() if worker.usable),
            return_exceptions=True,
        )
        total = inference_pb2.GetStatusResponse(worker=AUTO)
        for answer in answers:
            if isinstance(answer, SwarmError):
                continue  # a worker that does not answer has no slots to offer
            if isinstance(answer, BaseException):
                raise answer
            add_status(total, answer)
        return total


def _until(settings: Settings, context: ServicerContext[Any, Any]) -> float:
    """The request's end in the loop's time."""
    return asyncio.get_running_loop().time() + deadline(settings.request_timeout, context)

"""InferenceService: converts and calls; what it means is in `worker.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc

from services.common.chat_proto import event_to_proto, model_to_proto, request_from_proto
from services.common.errors import Reason, SwarmError
from services.inference_worker.status_proto import status_to_proto
from services.inference_worker.worker import Worker
from swarm.inference.v1 import inference_pb2 as pb
from swarm.inference.v1 import inference_pb2_grpc

SERVICE = pb.DESCRIPTOR.services_by_name["InferenceService"].full_name

Context = grpc.aio.ServicerContext[Any, Any]


class InferenceServicer(inference_pb2_grpc.InferenceServiceServicer):
    """Serves `worker` as soon as it is set; until then every call is UNAVAILABLE."""

    def __init__(self, queue_capacity: int) -> None:
        self.worker: Worker | None = None
        self._queue_capacity = queue_capacity

    async def Chat(self, request: pb.ChatRequest, context: Context) -> AsyncIterator[pb.ChatEvent]:
        stream = await self._ready().chat(request_from_proto(request), context.time_remaining())
        # A client that goes away frees its slots at once, wherever this generator is suspended.
        context.add_done_callback(lambda _: stream.close())  # type: ignore[arg-type]  # stubs want a class
        try:
            async with aclosing(stream.events()) as events:
                async for event in events:
                    yield event_to_proto(event)
        finally:
            stream.close()

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:
        return pb.ListModelsResponse(models=[model_to_proto(self._ready().model)])

    async def GetStatus(self, request: pb.GetStatusRequest, context: Context) -> pb.GetStatusResponse:
        return self._status_of(self._ready())

    def status(self) -> pb.GetStatusResponse | None:
        """The status of the moment, from any thread; None while the model is being loaded."""
        return None if self.worker is None else self._status_of(self.worker)

    def _status_of(self, worker: Worker) -> pb.GetStatusResponse:
        return status_to_proto(
            worker.name, worker.status, worker.waiting, self._queue_capacity, worker.choices
        )

    def _ready(self) -> Worker:
        if self.worker is None:
            raise SwarmError(Reason.UNAVAILABLE, "the model is still being loaded", retry_after=1.0)
        return self.worker

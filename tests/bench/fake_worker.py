"""A worker without a model, as a process: its answers cost next to nothing, so the road is measured.

Model `bench-pace` says one token a message at a steady pace, each with the time when it was sent;
`bench-flood` says eight tokens a message as fast as they are taken, `bench-drops` one a message.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import perf_counter
from typing import Any

from services.common.chat import Accepted, CandidateFinished, ContentDelta, FinishReason, Usage
from services.common.chat_proto import event_to_proto
from services.common.membership import keep_registered
from services.common.process import run
from services.common.settings import Settings
from swarm.discovery.v1 import discovery_pb2
from swarm.inference.v1 import inference_pb2
from tests.fakes.worker import FakeWorker

PACE, FLOOD, DROPS = "bench-pace", "bench-flood", "bench-drops"
TOKENS_A_SECOND = 50
_TOKENS_A_MESSAGE = {PACE: 1, FLOOD: 8, DROPS: 1}
_PROMPT = 16


class BenchWorker(FakeWorker):
    @property
    def member(self) -> discovery_pb2.Member:
        member = super().member
        models = [
            inference_pb2.ModelInfo(id=name, context_length=1 << 20, created_unix=1)
            for name in _TOKENS_A_MESSAGE
        ]
        del member.models[:]
        member.models.extend(models)
        return member

    async def Chat(
        self, request: inference_pb2.ChatRequest, context: Any
    ) -> AsyncIterator[inference_pb2.ChatEvent]:
        tokens = request.sampling.max_tokens
        yield event_to_proto(Accepted(request.model, _PROMPT, 1 << 20, self.name))
        size = _TOKENS_A_MESSAGE[request.model]
        if request.model == PACE:
            start = perf_counter()
            for number in range(tokens):
                await asyncio.sleep(start + number / TOKENS_A_SECOND - perf_counter())
                yield event_to_proto(ContentDelta(0, f"{perf_counter():.6f} "))
        else:
            message = event_to_proto(ContentDelta(0, " bakemi" * size))
            for _ in range(tokens // size):
                yield message
        yield event_to_proto(CandidateFinished(0, FinishReason.LENGTH, tokens, 0, -1.0))
        yield event_to_proto(Usage(_PROMPT, 0, tokens))


async def _main(settings: Settings) -> None:
    worker = BenchWorker("bench")
    async with worker.running():
        await keep_registered(
            worker.member, settings.address("discovery"), settings.lease_renew, asyncio.Event()
        )


if __name__ == "__main__":
    run("worker", _main)

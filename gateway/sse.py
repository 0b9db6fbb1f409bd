"""Answers on the wire: a decision read to its end, streamed or whole, while watching that the client stays.

Headers go out with the first event (`accepted`): until then every failure is an HTTP error with its status.
After that a stream ends in one of two ways: finish reason, usage and `[DONE]`, or an error event.
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.body import ClientGone
from gateway.chunks import PING, ChunkSink, error_event
from gateway.errors import internal_error, json_response
from gateway.events import AnswerReader
from gateway.lifetime import Lifetime
from gateway.render import Identity, swarm_headers
from gateway.upstream import Decision
from gateway.whole import WholeSink
from services.common.errors import SwarmError
from swarm.consensus.v1 import consensus_pb2 as pb

log = structlog.get_logger()

STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


class Answer(Response, ABC):
    """Makes the call when it is sent, not before, so that nothing can leak between the two."""

    def __init__(self, decide: Callable[[], Decision], choices: int, lifetime: Lifetime) -> None:
        self.status_code = 200
        self.background = None
        self._decide = decide
        self._choices = choices
        self._lifetime = lifetime

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        decision = self._decide()
        self._lifetime.add(decision)
        watcher = asyncio.create_task(_watch(receive, decision))
        try:
            await self.answer(decision, scope, receive, send)
        finally:
            watcher.cancel()
            self._lifetime.remove(decision)
            decision.cancel()

    @abstractmethod
    async def answer(self, decision: Decision, scope: Scope, receive: Receive, send: Send) -> None:
        """Reads the decision to its end and sends it."""


class WholeAnswer(Answer):
    async def answer(self, decision: Decision, scope: Scope, receive: Receive, send: Send) -> None:
        sink = WholeSink(Identity(), self._choices)
        reader = AnswerReader(self._choices, sink)
        async with contextlib.aclosing(decision.events()) as events:
            async for event in events:
                reader.feed(event)
        reader.end()
        _log_answer(reader)
        await json_response(sink.body(reader), headers=swarm_headers(reader))(scope, receive, send)


class StreamAnswer(Answer):
    def __init__(
        self,
        decide: Callable[[], Decision],
        choices: int,
        lifetime: Lifetime,
        include_usage: bool,
        heartbeat: float,
    ) -> None:
        super().__init__(decide, choices, lifetime)
        self._include_usage = include_usage
        self._heartbeat = heartbeat

    async def answer(self, decision: Decision, scope: Scope, receive: Receive, send: Send) -> None:
        sink = ChunkSink(Identity(), self._choices, self._include_usage)
        reader = AnswerReader(self._choices, sink)
        async with contextlib.aclosing(decision.events()) as events:
            async for event in events:
                reader.feed(event)
                if reader.accepted is not None:
                    break
            else:
                reader.end()
            await send({"type": "http.response.start", "status": 200, "headers": STREAM_HEADERS})
            last = await self._rest(events, reader, sink, _Wire(send))
        await send({"type": "http.response.body", "body": last, "more_body": False})

    async def _rest(
        self, events: AsyncIterator[pb.DecideEvent], reader: AnswerReader, sink: ChunkSink, wire: _Wire
    ) -> bytes:
        """Streams all but the last bytes, and returns these: the end of the answer or an error event."""
        pings = asyncio.create_task(wire.ping(self._heartbeat))
        try:
            await wire.write(sink.take())
            async for event in events:
                reader.feed(event)
                if data := sink.take():
                    await wire.write(data)
                elif event.HasField("heartbeat"):
                    await wire.write(PING)
            reader.end()
            _log_answer(reader)
            return sink.end(reader)
        except ClientGone:
            raise
        except SwarmError as error:
            log.info("stream failed", reason=error.reason, detail=error.message)
            return error_event(error)
        except Exception:
            log.exception("stream failed")
            return error_event(internal_error())
        finally:
            pings.cancel()


class _Wire:
    """The body of a started response; knows when it was last written to."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._clock = asyncio.get_running_loop().time
        self._written = self._clock()

    async def write(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})
        self._written = self._clock()

    async def ping(self, pause: float) -> None:
        """Sends a comment whenever nothing was written for `pause` seconds; ends by being cancelled."""
        while True:
            due = self._written + pause - self._clock()
            if due > 0:
                await asyncio.sleep(due)
            else:
                await self.write(PING)


def _log_answer(reader: AnswerReader) -> None:
    if (who := reader.accepted) is not None and (cost := reader.usage) is not None:
        log.info(
            "answered",
            model=who.model,
            worker=who.worker,
            prompt_tokens=cost.prompt_tokens,
            cached_tokens=cost.cached_tokens,
            completion_tokens=cost.completion_tokens,
        )


async def _watch(receive: Receive, decision: Decision) -> None:
    """Stops the decision at once when the client closes its connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
    decision.stop(ClientGone())

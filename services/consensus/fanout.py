"""One request on several workers at once: one stream of events, candidates numbered over all of them.

A share whose worker fails is moved to a spare worker as long as nothing of it was shown and none of its
candidates has finished; otherwise its open candidates are lost. Leaving the fan-out cancels all calls.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from types import TracebackType

import structlog

from services.common.chat import (
    Accepted,
    CandidateFinished,
    ChatEvent,
    ChatRequest,
    PrefillProgress,
    Usage,
)
from services.common.errors import Reason, SwarmError
from services.consensus.lanes import Arrival, Closed, Lane, Lost, Moved, Piece, Prompted
from services.consensus.ports import Worker
from services.consensus.routing import Share

# Events that wait to be read; beyond that the workers wait for the client.
_BACKLOG = 256
# What is wrong with the request is wrong everywhere; only these are worth another worker.
_MOVABLE = frozenset(
    {
        Reason.UNAVAILABLE,
        Reason.WORKER_LOST,
        Reason.NO_WORKER,
        Reason.MODEL_NOT_FOUND,
        Reason.QUEUE_FULL,
        Reason.CANCELLED,
        Reason.INTERNAL,
    }
)
MOVES = 2

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Ended:
    lane: Lane
    error: SwarmError | None


class Fanout:
    """Use as `async with`; read with `next`."""

    def __init__(
        self,
        request: ChatRequest,
        shares: Sequence[Share[Worker]],
        spares: Iterable[Worker],
        deadline: float,
        offset: int = 0,
    ) -> None:
        """`request` goes to every share with its own seed and number of candidates.

        `deadline` is in the loop's time. `offset` is added to the candidates' numbers and seeds, so that a
        further round draws fresh ones.
        """
        self._request = request
        self._spares = deque(spares)
        self._deadline = deadline
        self._queue: asyncio.Queue[Prompted | Piece | _Ended] = asyncio.Queue(_BACKLOG)
        self._tasks: dict[Lane, asyncio.Task[None]] = {}
        self._shown: set[int] = set()
        self.offset = offset
        self.lanes = [
            Lane(share.worker, range(offset + share.first, offset + share.first + share.count))
            for share in shares
        ]

    async def __aenter__(self) -> Fanout:
        for lane in self.lanes:
            self._start(lane)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._cancel(list(self._tasks))

    def lane_of(self, candidate: int) -> Lane:
        return next(lane for lane in self.lanes if candidate in lane.candidates)

    def show(self, candidate: int) -> None:
        """Something of this candidate goes to the client: from now on it cannot begin anew elsewhere."""
        self._shown.add(candidate)

    async def keep_only(self, candidate: int) -> None:
        """Cancels every lane but that of `candidate`: nothing more is wanted of the others."""
        await self._cancel([lane for lane in self._tasks if candidate not in lane.candidates])

    async def next(self, until: float | None) -> Arrival | None:
        """The next arrival; None when there is none until `until`, in the loop's time (None: for ever)."""
        while True:
            item = await self._get(until)
            if item is None:
                return None
            if item.lane not in self._tasks:
                continue  # cancelled meanwhile
            if isinstance(item, _Ended):
                return self._ended(item.lane, item.error)
            self._note(item.lane, item.event)
            return item

    async def finish(self, lane: Lane, patience: float) -> None:
        """Waits for the usage of a lane whose candidates have all finished, at most `patience` seconds."""
        until = asyncio.get_running_loop().time() + patience
        while lane in self._tasks and not lane.open and lane.usage is None:
            if await self.next(until) is None:
                return

    async def _get(self, until: float | None) -> Prompted | Piece | _Ended | None:
        if not self._queue.empty():
            return self._queue.get_nowait()
        try:
            async with asyncio.timeout_at(until):
                return await self._queue.get()
        except TimeoutError:
            return None

    def _note(self, lane: Lane, event: ChatEvent) -> None:
        match event:
            case Accepted():
                lane.accepted = event
            case PrefillProgress():
                lane.cached_tokens = event.cached_tokens
            case Usage():
                lane.usage = event
            case CandidateFinished(candidate):
                lane.open.discard(candidate)
            case _:
                pass

    def _ended(self, lane: Lane, error: SwarmError | None) -> Arrival:
        del self._tasks[lane]
        if not lane.open:
            return Closed(lane)
        name = lane.worker.name
        if error is None:
            error = SwarmError(Reason.WORKER_LOST, f"Worker {name} ended its answer before it was complete.")
        untouched = len(lane.open) == len(lane.candidates) and self._shown.isdisjoint(lane.candidates)
        if error.reason in _MOVABLE and untouched and self._spares and lane.moves < MOVES:
            lane.worker = self._spares.popleft()
            lane.moves += 1
            lane.accepted = None
            lane.cached_tokens = 0
            log.warning(
                "moved", source=name, target=lane.worker.name, reason=error.reason, detail=error.message
            )
            self._start(lane)
            return Moved(lane)
        log.warning(
            "lost", worker=name, candidates=sorted(lane.open), reason=error.reason, detail=error.message
        )
        lane.lost = error
        lost = tuple(sorted(lane.open))
        return Lost(lane, lost, error)

    def _start(self, lane: Lane) -> None:
        lane.open = set(lane.candidates)
        self._tasks[lane] = asyncio.create_task(self._read(lane), name=f"chat with {lane.worker.name}")

    async def _read(self, lane: Lane) -> None:
        first = lane.candidates.start
        seed = self._request.sampling.seed
        sampling = self._request.sampling
        if seed is not None:
            sampling = replace(sampling, seed=_wrapped(seed + first))
        request = replace(self._request, candidates=len(lane.candidates), sampling=sampling)
        timeout = max(0.0, self._deadline - asyncio.get_running_loop().time())
        error: SwarmError | None = None
        begun = False
        try:
            async with aclosing(lane.worker.chat(request, timeout)) as events:
                async for event in events:
                    if not begun and not isinstance(event, Accepted):
                        # Nothing may be shown before it, so a vote without it would never be over.
                        raise SwarmError(
                            Reason.WORKER_LOST,
                            f"Worker {lane.worker.name} answered without accepting the request first.",
                        )
                    begun = True
                    await self._queue.put(_arrival(lane, event))
        except SwarmError as failed:
            error = failed
        except Exception as bug:
            log.exception("reading a worker's answer failed", worker=lane.worker.name)
            error = SwarmError(
                Reason.INTERNAL, f"Reading the answer of worker {lane.worker.name} failed: {bug}"
            )
        await self._queue.put(_Ended(lane, error))

    async def _cancel(self, lanes: Iterable[Lane]) -> None:
        tasks = [self._tasks.pop(lane) for lane in lanes]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _arrival(lane: Lane, event: ChatEvent) -> Prompted | Piece:
    if isinstance(event, Accepted | PrefillProgress | Usage):
        return Prompted(lane, event)
    if not 0 <= event.candidate < len(lane.candidates):
        raise SwarmError(
            Reason.WORKER_LOST,
            f"Worker {lane.worker.name} answered for candidate {event.candidate}, which nobody asked for.",
        )
    first = lane.candidates.start
    return Piece(lane, replace(event, candidate=event.candidate + first) if first else event)


def _wrapped(seed: int) -> int:
    """Within 64 bits with sign, as the wire has it."""
    return (seed + 2**63) % 2**64 - 2**63


def worker_lost(worker: str, error: SwarmError) -> SwarmError:
    """What the client is told when `worker` failed after its answer had begun."""
    if error.reason in (Reason.WORKER_LOST, Reason.DEADLINE_EXCEEDED):
        return error
    return SwarmError(
        Reason.WORKER_LOST, f"Worker {worker} was lost in the middle of its answer: {error.message}"
    )

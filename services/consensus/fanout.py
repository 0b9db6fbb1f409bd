"""One request on several workers at once: one stream of events, candidates numbered over all of them.

A share whose worker fails goes on at another worker that has the same model, with the tokens drawn so far
(`failover.py`). Where there is none, it begins anew on a spare one, as long as nothing of it was shown and
none of its candidates has finished; otherwise its open candidates are lost. Leaving the fan-out cancels all
calls.
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
    DrawnTokens,
    PrefillProgress,
    Usage,
)
from services.common.errors import Reason, SwarmError
from services.consensus.failover import Transcript, can_go_on
from services.consensus.lanes import Arrival, Closed, Lane, Lost, Moved, Piece, Prompted, Resumed
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
            # Telling the tokens costs something, so it is only asked for where it can be of use.
            if any(self._can_go_on(lane, worker) for worker in self._others(lane)):
                lane.transcripts = tuple(Transcript() for _ in lane.candidates)
            lane.open = set(lane.candidates)
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
            if item.lane.resumed and isinstance(item.event, Accepted | PrefillProgress):
                continue  # was told when the answer began
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
        movable = error.reason in _MOVABLE and lane.moves < MOVES
        if movable and (moved := self._go_on(lane) or self._begin_anew(lane)) is not None:
            lane.moves += 1
            log.warning(
                "moved",
                source=name,
                target=lane.worker.name,
                resumed=isinstance(moved, Resumed),
                reason=error.reason,
                detail=error.message,
            )
            self._start(lane)
            return moved
        log.warning(
            "lost", worker=name, candidates=sorted(lane.open), reason=error.reason, detail=error.message
        )
        lane.lost = error
        lost = tuple(sorted(lane.open))
        return Lost(lane, lost, error)

    def _go_on(self, lane: Lane) -> Resumed | None:
        """Gives the lane, of which tokens are known, to another worker that has the same model."""
        if not any(transcript.drawn for transcript in lane.transcripts):
            return None
        heir = self._heir(lane)
        if heir is None:
            return None
        lane.worker = heir
        lane.resumed = True
        for transcript in lane.transcripts:
            transcript.rewind()
        return Resumed(lane)

    def _begin_anew(self, lane: Lane) -> Moved | None:
        """Gives the lane to a spare worker, or one with the same model, if the client has seen nothing."""
        untouched = len(lane.open) == len(lane.candidates) and self._shown.isdisjoint(lane.candidates)
        heir = (self._spares.popleft() if self._spares else self._heir(lane)) if untouched else None
        if heir is None:
            return None
        lane.worker = heir
        lane.accepted = None
        lane.cached_tokens = 0
        lane.resumed = False
        if lane.transcripts:
            lane.transcripts = tuple(Transcript() for _ in lane.candidates)
        return Moved(lane)

    def _heir(self, lane: Lane) -> Worker | None:
        """Who has the same model: a spare worker, no longer spare then, or the idlest that has a share."""
        able = [worker for worker in self._others(lane) if worker.usable and self._can_go_on(lane, worker)]
        if not able:
            return None
        heir = min(able, key=lambda each: (each not in self._spares, each.in_flight / max(1, each.slots)))
        if heir in self._spares:
            self._spares.remove(heir)
        return heir

    def _others(self, lane: Lane) -> list[Worker]:
        """All workers that this request may ask, but the lane's."""
        workers = [*self._spares, *(other.worker for other in self.lanes if other.lost is None)]
        return [worker for worker in dict.fromkeys(workers) if worker is not lane.worker]

    def _can_go_on(self, lane: Lane, heir: Worker) -> bool:
        length = lane.accepted.context_length if lane.accepted else 0
        return can_go_on(self._request.model, lane.worker.models, heir.models, length)

    def _start(self, lane: Lane) -> None:
        self._tasks[lane] = asyncio.create_task(self._read(lane), name=f"chat with {lane.worker.name}")

    async def _read(self, lane: Lane) -> None:
        first = lane.candidates.start
        seed = self._request.sampling.seed
        sampling = self._request.sampling
        if seed is not None:
            sampling = replace(sampling, seed=_wrapped(seed + first))
        request = replace(
            self._request,
            candidates=len(lane.candidates),
            sampling=sampling,
            tell_drawn_tokens=bool(lane.transcripts),
            resume=tuple(each.drawn for each in lane.transcripts) if lane.resumed else (),
        )
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
                    if (arrival := _arrival(lane, event)) is not None:
                        await self._queue.put(arrival)
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


def _arrival(lane: Lane, event: ChatEvent) -> Prompted | Piece | None:
    """None: nothing that was not told before."""
    if isinstance(event, Accepted | PrefillProgress | Usage):
        if isinstance(event, Accepted) and lane.resumed and lane.accepted is not None:
            _check_prompt(lane, event, lane.accepted)
        return Prompted(lane, event)
    if not 0 <= event.candidate < len(lane.candidates):
        raise SwarmError(
            Reason.WORKER_LOST,
            f"Worker {lane.worker.name} answered for candidate {event.candidate}, which nobody asked for.",
        )
    if isinstance(event, DrawnTokens) or lane.transcripts:
        fresh = lane.transcripts[event.candidate].fresh(event) if lane.transcripts else None
        if fresh is None:
            return None
        event = fresh
    first = lane.candidates.start
    return Piece(lane, replace(event, candidate=event.candidate + first) if first else event)


def _check_prompt(lane: Lane, accepted: Accepted, before: Accepted) -> None:
    """Workers may be configured differently in how they tell a model of its tools."""
    if accepted.prompt_tokens != before.prompt_tokens:
        raise SwarmError(
            Reason.WORKER_LOST,
            f"Worker {lane.worker.name} has a prompt of {accepted.prompt_tokens} tokens where the one before "
            f"had {before.prompt_tokens}, so it cannot go on.",
        )


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

"""Which workers answer a model id, and how candidates are spread over them. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from services.common.chat import ModelInfo
from services.common.errors import Reason, SwarmError

AUTO = "local-swarm"
AGENT = "local-swarm-agent"


class Routable(Protocol):
    @property
    def id(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def models(self) -> Sequence[ModelInfo]: ...

    @property
    def slots(self) -> int: ...

    @property
    def in_flight(self) -> int: ...

    @property
    def usable(self) -> bool: ...


W = TypeVar("W", bound=Routable)


@dataclass(frozen=True, slots=True)
class Route(Generic[W]):
    """`workers` serve `model`, the one to lead first."""

    model: str
    workers: tuple[W, ...]


@dataclass(frozen=True, slots=True)
class Share(Generic[W]):
    """Candidates `first` to `first + count - 1` of a request, all on one worker in one call."""

    worker: W
    first: int
    count: int


def route(model: str, workers: Sequence[W], session_id: str = "") -> Route[W]:
    """All usable workers that serve `model`, least loaded first.

    `local-swarm` and `local-swarm-agent` stand for the model with the longest context, then the most
    workers: a mix of models is never voted with. Among equally loaded workers a session always finds the
    same one first, because its prompt is kept there.
    Raises SwarmError NO_WORKER when nobody is there or all that serve the model are away, MODEL_NOT_FOUND
    naming the models that are known.
    """
    usable = [worker for worker in workers if worker.usable]
    if model in (AUTO, AGENT):
        if not (offered := models(usable)):
            raise _no_worker(workers)
        model = _best(offered, usable).id
    serving = _serving(model, usable)
    if not serving:
        if not (known := models(workers)) or (away := _serving(model, workers)):
            raise _no_worker(away if known else ())
        names = ", ".join([AUTO, AGENT, *(each.id for each in known)])
        raise SwarmError(
            Reason.MODEL_NOT_FOUND, f"The model {model!r} does not exist here; known are: {names}.", "model"
        )
    return Route(
        model, tuple(sorted(serving, key=lambda worker: (_load(worker), _tie(session_id, worker.id))))
    )


def listed(workers: Sequence[Routable]) -> list[ModelInfo]:
    """What the swarm offers now: its own names first, with what they stand for; nothing without a worker."""
    usable = [worker for worker in workers if worker.usable]
    known = models(usable)
    if not known:
        return []
    best = _best(known, usable)
    return [
        replace(best, id=AUTO, display_name=f"Local Swarm ({best.id})"),
        replace(best, id=AGENT, display_name=f"Local Swarm agent ({best.id})"),
        *known,
    ]


def models(workers: Sequence[Routable]) -> list[ModelInfo]:
    """Each model once, by id; with the shortest of its workers' context lengths, which all can keep.

    Without a fingerprint: a swarm does not say which of its workers would go on.
    """
    found: dict[str, ModelInfo] = {}
    for worker in workers:
        for model in worker.models:
            before = found.get(model.id)
            if before is None or model.context_length < before.context_length:
                found[model.id] = replace(model, fingerprint="")
    return [found[each] for each in sorted(found)]


def spread(count: int, workers: Sequence[W]) -> list[Share[W]]:
    """`count` candidates over `workers`: as evenly as can be, the first workers take the odd ones.

    One share a worker, because the candidates of a share use one prefill. Candidate 0, the leader, is on
    the first worker.
    """
    shares: list[Share[W]] = []
    first = 0
    for position, worker in enumerate(workers[:count]):
        size = count // len(workers) + (1 if position < count % len(workers) else 0)
        shares.append(Share(worker, first, size))
        first += size
    return shares


def _no_worker(away: Sequence[Routable]) -> SwarmError:
    names = ", ".join(sorted(worker.name for worker in away))
    why = f"All workers for it are away: {names}." if names else "No worker is in the swarm at the moment."
    return SwarmError(Reason.NO_WORKER, f"{why} `make status` shows who is there.", retry_after=2.0)


def _best(known: Sequence[ModelInfo], workers: Sequence[Routable]) -> ModelInfo:
    return max(known, key=lambda each: (each.context_length, len(_serving(each.id, workers)), each.id))


def _serving(model: str, workers: Sequence[W]) -> list[W]:
    return [worker for worker in workers if any(each.id == model for each in worker.models)]


def _load(worker: Routable) -> float:
    return worker.in_flight / max(1, worker.slots)


def _tie(session_id: str, worker_id: str) -> bytes:
    return hashlib.sha256(f"{session_id}\0{worker_id}".encode("utf-8", "surrogatepass")).digest()

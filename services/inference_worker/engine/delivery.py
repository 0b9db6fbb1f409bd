"""From the engine to its readers: first tokens and ends at once, others at a pace."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import structlog

from services.common.errors import Reason, SwarmError
from services.inference_worker.engine.jobs import Ended, Generated, Job, Output, Prefilled
from services.inference_worker.engine.scheduler import Limits

log = structlog.get_logger()


class Delivery:
    """Belongs to the engine's thread. `give_up` ends a job whose reader cannot take what it is given."""

    def __init__(
        self, limits: Limits, clock: Callable[[], float], give_up: Callable[[Job, SwarmError], None]
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._give_up = give_up
        self._untold: dict[int, Job] = {}

    def say(self, job: Job, output: Output) -> None:
        """Puts `output` in the job's outbox; what begins or ends something is due at once."""
        if isinstance(output, Prefilled) and job.outbox and isinstance(job.outbox[-1], Prefilled):
            # Nobody wants to know how far it was before.
            job.outbox.pop()
        job.outbox.append(output)
        begins = isinstance(output, Generated) and not job.speaks
        ends = isinstance(output, Ended) or (isinstance(output, Generated) and output.finish is not None)
        if begins or ends or len(job.outbox) >= self._limits.bundle:
            job.due = 0.0
        job.speaks = job.speaks or begins
        self._untold[job.order] = job

    def due(self, late: float = 0.0) -> list[Job]:
        """The jobs of which something is due; `late`: since so many seconds at least."""
        latest = self._clock() - late
        return [job for job in self._untold.values() if job.due <= latest]

    def flush(self, jobs: Iterable[Job]) -> None:
        """Hands over all that these jobs have."""
        for job in jobs:
            outputs, job.outbox = job.outbox, []
            self._untold.pop(job.order, None)
            if not outputs:
                continue
            if isinstance(outputs[-1], Generated):
                job.due = self._clock() + self._limits.pace
            elif isinstance(outputs[-1], Prefilled):
                job.due = self._clock() + self._limits.progress
            try:
                kept_up = job.sink(outputs)
            except Exception:
                log.exception("a request's sink failed, it is cancelled", order=job.order)
                self._give_up(job, SwarmError(Reason.INTERNAL, "the answer could not be handed over"))
                continue
            if not kept_up and not job.ended:
                log.warning("a reader does not keep up, its request is cancelled", order=job.order)
                self._give_up(job, SwarmError(Reason.CANCELLED, "the answer was not read fast enough"))

"""The one thread that owns the model's context, and the door to it for all other threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from queue import Empty, SimpleQueue
from time import monotonic

import structlog

from services.common.errors import Reason, SwarmError, context_length_exceeded, invalid
from services.inference_worker.backends.base import Backend
from services.inference_worker.engine.core import Core
from services.inference_worker.engine.jobs import Job, Submission, job_of
from services.inference_worker.engine.scheduler import Limits
from services.inference_worker.engine.sharing import Sharing, Usage
from services.inference_worker.engine.speculator import Speculator
from services.inference_worker.engine.status import EngineStatus
from services.inference_worker.kv.store import KvStore

# Bounds of what a refused client is told to wait, in seconds.
_SHORTEST_WAIT, _LONGEST_WAIT = 1.0, 30.0
# Longest age of the status in seconds.
_STATUS_INTERVAL = 0.05

log = structlog.get_logger()


class Engine:
    """Runs submissions on a thread of its own. All methods may be called from any thread."""

    def __init__(
        self,
        backend: Backend,
        context_length: int,
        queue: int,
        limits: Limits | None = None,
        on_failure: Callable[[BaseException], None] = lambda error: None,
        store: KvStore | None = None,
        speculator: Speculator | None = None,
        sharing: tuple[Sharing, Callable[[], Usage]] | None = None,
        calibrate: float = 0.0,
    ) -> None:
        """`context_length`: most tokens of prompt and answer of one candidate; at most the backend's cells.

        `queue`: requests that may wait for a sequence. `store` keeps computed state outside the cells
        (default: nowhere); `speculator` guesses tokens (default: none are guessed). `sharing` and how the
        machine's usage is read: threads give way to what else runs (default: they never do). `calibrate`:
        seconds that the thread spends on measuring the costs of steps before it serves.

        `on_failure` hears, on the engine's thread, that the engine is lost; the process should then end.
        """
        capacity = backend.capacity
        if context_length > capacity.cells:
            raise ValueError(f"a context of {context_length} tokens needs more than {capacity.cells} cells")
        self.context_length = context_length
        self._backend = backend
        self._sequences = capacity.sequences
        self._queue = queue
        self._on_failure = on_failure
        self._inbox: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._store = store or KvStore(backend.fingerprint, 0, None)
        self._core = Core(
            backend,
            limits or Limits.of(capacity),
            self._store,
            speculator,
            on_ended=self._ended,
            news=lambda: not self._inbox.empty(),
        )
        self._sharing = sharing
        self._threads = 0
        self._calibrate = calibrate
        self._lock = threading.Lock()
        self._open: dict[int, Job] = {}
        self._next_order = 0
        self._mean_seconds = 0.0
        self._closed: SwarmError | None = None
        self._stop = False
        self._status = self._core.status()
        self._thread = threading.Thread(target=self._main, name="engine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self, timeout: float | None = None) -> None:
        """Ends all requests with UNAVAILABLE and waits for the thread."""
        self._refuse_from_now_on(SwarmError(Reason.UNAVAILABLE, "the worker is shutting down"))
        self._inbox.put(self._request_stop)
        self._backend.interrupt(True)
        if self._thread.is_alive():
            self._thread.join(timeout)

    @property
    def status(self) -> EngineStatus:
        """Up to date when idle, some milliseconds old when busy. The store writes also while all is idle."""
        return replace(self._status, store=self._store.status())

    @property
    def waiting(self) -> int:
        """Requests of which no candidate has a sequence, or will get one with the next step."""
        with self._lock:
            return self._waiting()

    def _waiting(self) -> int:
        waiting = taken = 0
        for job in self._open.values():
            if not job.started and (job.passed_over or taken >= self._sequences):
                waiting += 1
            taken += job.unfinished
        return waiting

    def check_room(self) -> None:
        """Raises SwarmError: QUEUE_FULL with `retry_after`, or why the engine takes nothing any more."""
        with self._lock:
            self._check_room()

    def submit(self, submission: Submission) -> Job:
        """Puts a request in the queue; its sink gets what comes of it, last an Ended.

        Raises SwarmError CONTEXT_LENGTH_EXCEEDED when the prompt leaves no token of the context free,
        QUEUE_FULL with `retry_after`, or UNAVAILABLE.
        """
        tokens = len(submission.prompt)
        if tokens == 0:
            raise invalid("messages", "messages: the rendered prompt is empty")
        if tokens >= self.context_length:
            raise context_length_exceeded(tokens, self.context_length)
        room = self.context_length - tokens
        limit = room if submission.max_tokens is None else min(room, submission.max_tokens)
        with self._lock:
            self._check_room()
            job = job_of(submission, self._next_order, limit, monotonic())
            self._next_order += 1
            self._open[job.order] = job
            # Inside the lock: jobs arrive in the order of their keys.
            self._inbox.put(lambda: self._core.add(job, submission))
        return job

    def cancel(self, job: Job, error: SwarmError | None = None) -> None:
        """Ends the request within one step; a prefill that works on it is interrupted."""
        reason = error or SwarmError(Reason.CANCELLED, "the request was cancelled")
        self._inbox.put(lambda: self._core.cancel(job, reason))
        # After the message: the thread takes the wish back before it reads its messages.
        if job.order in self._core.prefilling:
            self._backend.interrupt(True)

    def settle(self, job: Job, candidate: int) -> None:
        """Ends one candidate as if it had stopped by itself: the rest of its answer is not wanted."""
        self._inbox.put(lambda: self._core.settle(job, candidate))

    def _check_room(self) -> None:
        if self._closed is not None:
            raise self._closed
        waiting = self._waiting()
        if waiting < self._queue:
            return
        after = self._mean_seconds * (waiting + 1) / max(1, len(self._open) - waiting)
        raise SwarmError(
            Reason.QUEUE_FULL,
            f"the queue is full: {waiting} requests are waiting, {self._queue} may",
            retry_after=round(min(_LONGEST_WAIT, max(_SHORTEST_WAIT, after)), 1),
        )

    def _ended(self, job: Job) -> None:
        seconds = monotonic() - job.arrived
        with self._lock:
            self._open.pop(job.order, None)
            mean = self._mean_seconds
            self._mean_seconds = 0.8 * mean + 0.2 * seconds if mean else seconds
        # Before the reader hears of the end, so that it finds its slots free.
        self._status = self._core.status()

    def _refuse_from_now_on(self, error: SwarmError) -> None:
        with self._lock:
            self._closed = self._closed or error

    def _request_stop(self) -> None:
        self._stop = True

    # -- the thread --------------------------------------------------------------------------------

    def _main(self) -> None:
        try:
            self._core.calibrate(self._calibrate)
            self._run()
            self._end_all(SwarmError(Reason.UNAVAILABLE, "the worker is shutting down"))
            self._core.save_all()
        except BaseException as error:
            log.critical("the engine is lost", exc_info=error)
            lost = SwarmError(Reason.WORKER_LOST, f"the worker's engine failed: {error}")
            self._refuse_from_now_on(lost)
            try:
                self._end_all(lost)
            finally:
                self._on_failure(error)

    def _run(self) -> None:
        idle = False
        told = 0.0
        while not self._stop:
            if idle:
                self._inbox.get()()
                if self._sharing is not None:
                    self._sharing[0].resume(monotonic(), self._sharing[1]())
            self._backend.interrupt(False)
            self._read_inbox()
            self._share(monotonic())
            idle = not self._core.step()
            now = monotonic()
            if idle or now - told > _STATUS_INTERVAL:
                self._status = self._core.status()
                told = now

    def _share(self, now: float) -> None:
        if self._sharing is None or not self._sharing[0].due(now):
            return
        policy, read = self._sharing
        threads = policy.observe(now, read())
        if threads != self._threads:
            log.debug("threads", now=threads, before=self._threads)
            self._threads = threads
        self._backend.use_threads(threads)

    def _read_inbox(self) -> None:
        while True:
            try:
                message = self._inbox.get_nowait()
            except Empty:
                return
            message()

    def _end_all(self, error: SwarmError) -> None:
        """Every request hears `error`, also those that are still in the inbox."""
        with self._lock:
            jobs = list(self._open.values())
        for job in jobs:
            self._core.cancel(job, error)
        self._status = self._core.status()

"""The thread that writes behind the engine's back.

Hashing and writing release the interpreter; the Python between them is small: the engine waits for it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

import structlog

from services.inference_worker.kv.disk import DiskTier
from services.inference_worker.kv.eviction import Rank
from services.inference_worker.kv.folder import ModelFolder
from services.inference_worker.kv.segment import Run, Segment
from services.inference_worker.kv.tree import Node

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Job:
    """One file to write. `nodes` are handed back; `protected`: paths of the files that hold the chain before.

    `commit`: the number of the commit it belongs to; jobs of one commit may build on one another.
    """

    commit: int
    nodes: tuple[Node, ...]
    run: Run
    rank: Rank
    used: float
    protected: frozenset[str]

    @property
    def size(self) -> int:
        return sum(map(len, self.run.states))


@dataclass(frozen=True, slots=True)
class Done:
    """`segment` is None if the job's blocks found no room on disk or could not be written."""

    nodes: tuple[Node, ...]
    segment: Segment | None


class Writer:
    """A queue of at most `tier.queue` bytes (one larger job is taken when it is empty) and its thread."""

    def __init__(self, tier: DiskTier, folder: ModelFolder) -> None:
        self._tier = tier
        self._folder = folder
        self._changed = threading.Condition()
        self._jobs: deque[Job] = deque()
        self._touched: dict[str, float] = {}
        self._done: deque[Done] = deque()
        self._queued = 0
        self._busy = False
        self._closed = False
        self._thread: threading.Thread | None = None
        # Of the commit that is being written: its files, and the blocks that did not get there.
        self._commit = -1
        self._written: set[str] = set()
        self._missing: set[bytes] = set()

    @property
    def queued(self) -> int:
        """Bytes that wait or are being written."""
        return self._queued

    def offer(self, job: Job) -> bool:
        """False: the queue is full, or closed."""
        with self._changed:
            if self._closed or (self._queued and self._queued + job.size > self._tier.queue):
                return False
            self._queued += job.size
            self._jobs.append(job)
            self._wake()
        return True

    def touch(self, used: dict[str, float]) -> None:
        """The files with these names were used then."""
        with self._changed:
            if used and not self._closed:
                self._touched |= used
                self._wake()

    def take_done(self) -> list[Done]:
        """What was finished since the last call."""
        done = []
        while self._done:
            done.append(self._done.popleft())
        return done

    def untaken(self) -> set[Segment]:
        """Files that are written and were not taken note of yet. From any thread."""
        return {done.segment for done in tuple(self._done) if done.segment is not None}

    def flush(self, timeout: float) -> bool:
        """Waits until nothing is left to write; False: it took longer."""
        with self._changed:
            return self._changed.wait_for(self._idle, timeout)

    def close(self, timeout: float) -> None:
        """Flushes, then ends the thread; what could not be written in time is told in the log and dropped."""
        end = time.monotonic() + timeout
        if not self.flush(timeout):
            log.warning("kv.disk closed before all was written", dropped_bytes=self._queued)
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(max(0.0, end - time.monotonic()))

    def _idle(self) -> bool:
        return not (self._jobs or self._touched or self._busy)

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._live, name="kv-writer", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _live(self) -> None:
        try:
            self._run()
        finally:
            # Also if a mistake of ours has ended it: nobody shall wait for it, or queue up.
            with self._changed:
                self._closed, self._busy = True, False
                self._done.extend(Done(job.nodes, None) for job in self._jobs)
                self._jobs.clear()
                self._queued = 0
                self._touched.clear()
                self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._jobs or self._touched or self._closed)
                if self._closed:
                    return
                self._busy = True
            self._step()

    def _step(self) -> None:
        """Notes uses, then writes one file: what was used last is not to make room for it."""
        with self._changed:
            touched, self._touched = self._touched, {}
            job = self._jobs.popleft() if self._jobs else None
        self._touch(touched)
        if job is not None:
            self._done.append(Done(job.nodes, self._write(job)))
            with self._changed:
                self._queued -= job.size

    def _touch(self, touched: dict[str, float]) -> None:
        try:
            self._folder.touch(touched)
        except OSError as error:
            log.warning("kv.disk use could not be noted", detail=str(error))

    def _write(self, job: Job) -> Segment | None:
        if job.commit != self._commit:
            self._commit, self._written, self._missing = job.commit, set(), set()
        blocks = job.run.blocks
        segment = None
        if blocks[0].parent not in self._missing:
            try:
                protected = job.protected | self._written
                if self._tier.make_room(
                    job.run.file_size, job.rank, job.used, self._folder.ranks(), protected
                ):
                    segment = self._folder.write(job.run, job.rank, job.used)
            except (OSError, ValueError) as error:
                log.warning("kv.disk write failed", bytes=job.size, detail=str(error))
        if segment is None:
            self._missing |= {block.key for block in blocks}
        else:
            self._tier.used += segment.size
            self._written.add(str(self._folder.path / segment.name))
        return segment

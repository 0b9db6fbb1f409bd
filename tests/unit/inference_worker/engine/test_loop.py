"""The engine's thread: its door to other threads, its queue, and what happens when it fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic

import pytest

from services.common.errors import Reason, SwarmError
from services.inference_worker.backends.base import BackendFailure, Slice
from services.inference_worker.engine.jobs import Ended, Generated, Job, Output, Submission
from services.inference_worker.engine.loop import Engine
from services.inference_worker.engine.sharing import Sharing, Usage
from tests.fakes.backend import GREEDY, FakeBackend, ToyModel

TIMEOUT = 10.0


class Reader:
    """A sink on the engine's thread that the test waits on."""

    def __init__(self) -> None:
        self.outputs: list[Output] = []
        self.over = threading.Event()
        self.begun = threading.Event()

    def __call__(self, outputs: Sequence[Output]) -> bool:
        self.outputs.extend(outputs)
        if any(isinstance(each, Generated) for each in outputs):
            self.begun.set()
        if isinstance(outputs[-1], Ended):
            self.over.set()
        return True

    @property
    def text(self) -> str:
        return "".join(each.text for each in self.outputs if isinstance(each, Generated))

    def error(self) -> SwarmError | None:
        assert self.over.wait(TIMEOUT)
        last = self.outputs[-1]
        assert isinstance(last, Ended)
        return last.error


class Gate:
    """Holds every decode until it is opened; `reached` says that one is waiting."""

    def __init__(self, backend: FakeBackend) -> None:
        self.reached = threading.Event()
        self._open = threading.Event()
        backend.before_decode = self._wait

    def open(self) -> None:
        self._open.set()

    def _wait(self, slices: Sequence[Slice]) -> None:
        self.reached.set()
        assert self._open.wait(TIMEOUT)


@contextmanager
def running(
    backend: FakeBackend, context: int = 512, queue: int = 4, failures: list[BaseException] | None = None
) -> Iterator[Engine]:
    engine = Engine(
        backend,
        context,
        queue,
        on_failure=lambda error: None if failures is None else failures.append(error),
    )
    engine.start()
    try:
        yield engine
    finally:
        engine.close(TIMEOUT)


def submission(text: str, reader: Reader, width: int = 1, max_tokens: int | None = 8) -> Submission:
    return Submission(list(text.encode()), [GREEDY] * width, reader, max_tokens)


def refused(engine: Engine, text: str = "one more", width: int = 1) -> SwarmError:
    with pytest.raises(SwarmError) as caught:
        engine.submit(submission(text, Reader(), width))
    return caught.value


def test_requests_of_several_threads_get_their_own_answers() -> None:
    with running(FakeBackend(sequences=3, cells=2048), queue=64) as engine:
        readers = {f"prompt {index}": Reader() for index in range(12)}
        threads = [
            threading.Thread(target=engine.submit, args=(submission(text, reader),))
            for text, reader in readers.items()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT)
        for text, reader in readers.items():
            assert reader.error() is None
            assert reader.text == ToyModel().answer(text, 8)


def test_threads_are_given_up_to_what_else_runs() -> None:
    backend = FakeBackend()
    started = monotonic()

    def usage() -> Usage:
        """Others take two cores all the time."""
        return Usage(2.0 * (monotonic() - started), 0.0)

    def slow(slices: Sequence[Slice]) -> None:
        assert not waited.wait(0.3)

    waited = threading.Event()
    engine = Engine(backend, 512, 4, sharing=(Sharing(4, 4), usage))
    engine.start()
    try:
        reader = Reader()
        backend.before_decode = slow
        engine.submit(submission("hello", reader, max_tokens=4))
        assert reader.error() is None
        assert backend.threads == 2
    finally:
        engine.close(TIMEOUT)


class TestContext:
    def test_a_prompt_that_leaves_no_room_is_refused(self) -> None:
        with running(FakeBackend(), context=100) as engine:
            error = refused(engine, "x" * 100)
        assert error.reason is Reason.CONTEXT_LENGTH_EXCEEDED
        assert "100 tokens" in error.message

    def test_generation_is_clamped_at_the_contexts_end(self) -> None:
        for asked in (None, 32_000):
            with running(FakeBackend(), context=100) as engine:
                reader = Reader()
                engine.submit(submission("x" * 90, reader, max_tokens=asked))
                assert reader.error() is None
            assert reader.text == ToyModel().answer("x" * 90, 10)

    def test_the_last_token_of_the_context_can_be_used(self) -> None:
        with running(FakeBackend(cells=256), context=256) as engine:
            reader = Reader()
            engine.submit(submission("x" * 255, reader, max_tokens=None))
            assert reader.error() is None
            assert len(reader.text) == 1

    def test_an_empty_prompt_is_refused(self) -> None:
        with running(FakeBackend()) as engine:
            assert refused(engine, "").reason is Reason.INVALID_FIELD

    def test_a_context_beyond_the_cells_is_a_defect(self) -> None:
        with pytest.raises(ValueError, match="cells"):
            Engine(FakeBackend(cells=64), 65, 1)


class TestQueue:
    def test_it_is_full_when_it_is_full(self) -> None:
        backend = FakeBackend(sequences=2)
        gate = Gate(backend)
        with running(backend, queue=2) as engine:
            readers = [Reader() for _ in range(4)]
            engine.submit(submission("first", readers[0], width=2))
            assert gate.reached.wait(TIMEOUT)
            for reader in readers[1:3]:
                engine.submit(submission("waits", reader))
            error = refused(engine)
            assert error.reason is Reason.QUEUE_FULL
            assert error.retry_after is not None
            assert 1 <= error.retry_after <= 30
            with pytest.raises(SwarmError):
                engine.check_room()
            gate.open()
            for reader in readers[:3]:
                assert reader.error() is None
            engine.submit(submission("again", readers[3]))
            assert readers[3].error() is None

    def test_requests_that_start_with_the_next_step_do_not_count(self) -> None:
        backend = FakeBackend(sequences=4)
        gate = Gate(backend)
        with running(backend, queue=1) as engine:
            readers = [Reader() for _ in range(4)]
            engine.submit(submission("first", readers[0]))
            assert gate.reached.wait(TIMEOUT)
            # The engine is busy and has seen none of these, but there are sequences for two of them.
            for reader in readers[1:]:
                engine.submit(submission("next", reader, width=2))
            assert engine.waiting == 1
            assert refused(engine).reason is Reason.QUEUE_FULL
            gate.open()
            assert all(reader.error() is None for reader in readers)
            assert engine.waiting == 0

    def test_who_finds_no_cells_waits_too(self) -> None:
        backend = FakeBackend(sequences=4, cells=128)
        with running(backend, context=128, queue=1) as engine:
            readers = [Reader() for _ in range(2)]
            gates = [Gate(backend)]
            engine.submit(submission("x" * 100, readers[0], max_tokens=2))
            assert gates[0].reached.wait(TIMEOUT)
            engine.submit(submission("y" * 100, readers[1], max_tokens=2))
            assert engine.waiting == 0
            gates.append(Gate(backend))
            gates[0].open()
            assert gates[1].reached.wait(TIMEOUT)
            assert engine.waiting == 1
            assert refused(engine).reason is Reason.QUEUE_FULL
            gates[1].open()
            assert all(reader.error() is None for reader in readers)


class TestCancelling:
    def test_a_running_request_ends_within_a_step(self) -> None:
        with running(FakeBackend(cells=8192), context=8000) as engine:
            reader = Reader()
            job = engine.submit(submission("prompt", reader, width=3, max_tokens=None))
            assert reader.begun.wait(TIMEOUT)
            engine.cancel(job)
            error = reader.error()
            assert error is not None
            assert error.reason is Reason.CANCELLED
            follower = Reader()
            engine.submit(submission("next", follower))
            assert follower.error() is None
        assert len(reader.text) < 3 * 7000

    def test_a_long_prefill_is_interrupted(self) -> None:
        backend = FakeBackend(cells=8192)
        gate = Gate(backend)
        with running(backend, context=8000) as engine:
            reader = Reader()
            job = engine.submit(submission("p" * 5000, reader))
            assert gate.reached.wait(TIMEOUT)
            engine.cancel(job)
            gate.open()
            assert reader.error() is not None
            other = Reader()
            engine.submit(submission("other", other))
            assert other.error() is None
            assert other.text == ToyModel().answer("other", 8)
        # The chunk that was being worked on was the last.
        chunks = [batch for batch in backend.batches if len(batch[0].tokens) == backend.capacity.batch]
        assert len(chunks) == 1
        assert backend.interrupted == 1

    def test_a_prefill_that_is_cancelled_while_it_is_planned_is_not_begun(self) -> None:
        backend = FakeBackend(cells=8192)
        reader = Reader()
        jobs: list[Job] = []
        submitted = threading.Event()
        drop = backend.drop

        def cancelling_drop(sequence: int) -> None:
            # The job gets its sequence: this step has read all messages and works on nothing yet.
            assert submitted.wait(TIMEOUT)
            if jobs:
                engine.cancel(jobs.pop())
            drop(sequence)

        backend.drop = cancelling_drop  # type: ignore[method-assign]
        with running(backend, context=8000) as engine:
            jobs.append(engine.submit(submission("p" * 5000, reader)))
            submitted.set()
            assert reader.error() is not None
        assert backend.batches == []

    def test_a_stream_is_not_interrupted_for_others(self) -> None:
        backend = FakeBackend(cells=8192)
        gate = Gate(backend)
        with running(backend, context=8000) as engine:
            stream, waiting = Reader(), Reader()
            engine.submit(submission("stream", stream))
            assert gate.reached.wait(TIMEOUT)
            engine.cancel(engine.submit(submission("cancelled", waiting)))
            gate.open()
            assert waiting.error() is not None
            assert stream.error() is None
        assert backend.interrupted == 0

    def test_a_step_of_streams_is_short_and_runs_to_its_end(self) -> None:
        backend = FakeBackend(cells=8192)
        with running(backend, context=8000) as engine:
            stream = Reader()
            job = engine.submit(submission("stream", stream, max_tokens=None))
            assert stream.begun.wait(TIMEOUT)
            gate = Gate(backend)
            assert gate.reached.wait(TIMEOUT)
            engine.cancel(job)
            gate.open()
            assert stream.error() is not None
        assert backend.interrupted == 0

    def test_cancelling_what_is_over_is_harmless(self) -> None:
        with running(FakeBackend()) as engine:
            reader = Reader()
            job = engine.submit(submission("prompt", reader))
            assert reader.error() is None
            engine.cancel(job)
            engine.cancel(job)


class TestTheEnd:
    def test_closing_ends_every_request(self) -> None:
        backend = FakeBackend(sequences=1)
        gate = Gate(backend)
        with running(backend) as engine:
            readers = [Reader() for _ in range(3)]
            for reader in readers:
                engine.submit(submission("prompt", reader))
            assert gate.reached.wait(TIMEOUT)
            closing = threading.Thread(target=engine.close)
            closing.start()
            gate.open()
            closing.join(TIMEOUT)
            for reader in readers:
                error = reader.error()
                assert error is not None
                assert error.reason is Reason.UNAVAILABLE
            assert refused(engine).reason is Reason.UNAVAILABLE

    def test_a_lost_backend_reaches_everybody(self) -> None:
        backend = FakeBackend(sequences=1)
        gate = Gate(backend)
        failures: list[BaseException] = []
        with running(backend, failures=failures) as engine:
            readers = [Reader() for _ in range(3)]
            for reader in readers:
                engine.submit(submission("prompt", reader))
            assert gate.reached.wait(TIMEOUT)
            lost = BackendFailure("the device is gone")

            def fail(slices: Sequence[Slice]) -> None:
                raise lost

            backend.before_decode = fail
            gate.open()
            for reader in readers:
                error = reader.error()
                assert error is not None
                assert error.reason is Reason.WORKER_LOST
                assert "the device is gone" in error.message
            assert refused(engine).reason is Reason.WORKER_LOST
            engine.close(TIMEOUT)
        assert failures == [lost]


def test_the_status_is_told_while_it_runs_and_after() -> None:
    backend = FakeBackend(sequences=4, cells=2048)
    with running(backend, context=2000) as engine:
        reader = Reader()
        job = engine.submit(submission("prompt", reader, width=2, max_tokens=None))
        assert reader.begun.wait(TIMEOUT)
        deadline = monotonic() + TIMEOUT
        while engine.status.sequences_busy != 2:
            assert monotonic() < deadline
        engine.cancel(job)
        reader.error()
        while engine.status.sequences_busy:
            assert monotonic() < deadline
        status = engine.status
        assert (status.sequences_total, status.cells_total, status.cells_used) == (4, 2048, 0)
        assert status.prompt_tokens == len("prompt")
        assert status.generated_tokens >= 2

"""The engine's core over any backend, driven step by step: what went in, what came out, what is left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.inference_worker.backends.base import Backend, SamplerSpec
from services.inference_worker.backends.llama_cpp.backend import LlamaCppBackend
from services.inference_worker.backends.llama_cpp.options import LoadOptions
from services.inference_worker.engine.core import Core
from services.inference_worker.engine.jobs import Ended, Finish, Generated, Job, Output, Submission, job_of
from services.inference_worker.engine.scheduler import Limits
from services.inference_worker.engine.speculator import Speculator
from services.inference_worker.kv.store import KvStore
from tests.fakes.tiny_kinds import Kind

# The two likeliest tokens are told, so that a tie can be told from an error.
GREEDY = SamplerSpec(temperature=0.0, top_logprobs=2)

# Of log-probabilities; states are kept in f32, only keys and values in f16.
TOLERANCES = {Kind.DENSE: 0.05, Kind.MOE: 0.05, Kind.SWA: 0.05, Kind.RECURRENT: 0.001, Kind.HYBRID: 0.005}

# Here rounding can change more than the last digits: which expert is asked may hang on a hair, and then all
# that follows is another computation. It must be rare, as ties are.
CHOOSY = frozenset((Kind.MOE,))


@dataclass
class Request:
    """One request and all that came of it."""

    prompt: Sequence[int]
    width: int
    limit: int
    outputs: list[Output] = field(default_factory=list)
    keeps_up: bool = True
    job: Job | None = None
    ends: int = 0

    def __call__(self, outputs: Sequence[Output]) -> bool:
        assert outputs
        assert not self.ends, "something follows the end"
        self.outputs.extend(outputs)
        self.ends += sum(isinstance(each, Ended) for each in outputs)
        return self.keeps_up

    def of(self, index: int = 0) -> list[Generated]:
        return [each for each in self.outputs if isinstance(each, Generated) and each.candidate == index]

    def said(self, index: int = 0) -> list[int]:
        """The tokens that a candidate drew, the end of the turn too."""
        return [each.sampled.token for each in self.of(index) if each.sampled is not None]

    def logprobs(self, index: int = 0) -> list[float]:
        return [each.sampled.logprob for each in self.of(index) if each.sampled is not None]

    @property
    def ended(self) -> Ended:
        last = self.outputs[-1]
        assert isinstance(last, Ended)
        return last

    def check(self) -> None:
        """It ended once, and each of its candidates once or with the request."""
        assert self.ends == 1
        assert sum(isinstance(each, Ended) for each in self.outputs) == 1
        for index in range(self.width):
            finishes = [each.finish for each in self.of(index) if each.finish is not None]
            assert len(finishes) <= 1
            if self.ended.error is None:
                assert len(finishes) == 1
                assert self.of(index)[-1].finish is not None
            said = self.said(index)
            assert len(said) <= self.limit
            if finishes == [Finish.LENGTH] and self.of(index)[-1].sampled is not None:
                assert len(said) == self.limit


class Different(AssertionError):
    pass


def compare(kind: Kind, one: Request, other: Request, index: int = 0) -> bool:
    """Whether `other`'s candidate said what `one` did, to the end. False: up to a tie. Raises Different."""
    tolerance = TOLERANCES[kind]
    for place, (ours, theirs) in enumerate(zip(one.of(), other.of(index), strict=False)):
        assert ours.sampled is not None
        assert theirs.sampled is not None
        if ours.sampled.token != theirs.sampled.token:
            (_, best), (_, second) = ours.sampled.top
            if best - second > tolerance and kind not in CHOOSY:
                raise Different(f"token {place}: {ours.sampled} is not {theirs.sampled}")
            return False
        if abs(ours.sampled.logprob - theirs.sampled.logprob) > tolerance:
            if kind in CHOOSY:
                return False
            raise Different(f"token {place}: {ours.sampled} is not {theirs.sampled}")
    assert len(one.said()) == len(other.said(index))
    return True


class Driver:
    """`tick`: seconds that the clock goes on with every step."""

    def __init__(
        self,
        backend: Backend,
        store: KvStore | None = None,
        speculator: Speculator | None = None,
        headroom: int = 8,
        tick: float = 0.01,
    ) -> None:
        self.backend = backend
        self.now = 0.0
        self.news = False
        self.store = store or KvStore(backend.fingerprint, 0, None)
        self.ended = 0
        self.core = Core(
            backend,
            Limits(batch=backend.capacity.batch, chunk=backend.capacity.chunk, headroom=headroom),
            self.store,
            speculator,
            clock=self._time,
            on_ended=self._count,
            news=lambda: self.news,
        )
        self._tick = tick
        self._order = 0

    def _time(self) -> float:
        # A little at every look, so that what takes long on the engine's clock takes long here.
        self.now += self._tick / 64
        return self.now

    def _count(self, job: Job) -> None:
        self.ended += 1

    def submit(
        self,
        prompt: Sequence[int],
        specs: Sequence[SamplerSpec] = (GREEDY,),
        limit: int = 16,
        **more: Any,
    ) -> Request:
        """`more`: other fields of the Submission."""
        request = Request(prompt, len(specs), limit)
        submission = Submission(prompt, specs, request, limit, **more)
        request.job = job_of(submission, self._order, limit, self.now)
        self._order += 1
        self.core.add(request.job, submission)
        return request

    def ask(self, prompt: Sequence[int], limit: int = 16, **more: Any) -> Request:
        """Submits and runs it to its end, and until all is saved."""
        request = self.submit(prompt, limit=limit, **more)
        self.run()
        request.check()
        return request

    def step(self, times: int = 1) -> bool:
        for _ in range(times):
            self.now += self._tick
            if not self.core.step():
                return False
        return True

    def run(self, most: int = 100_000) -> None:
        """Steps until there is nothing to do."""
        for _ in range(most):
            if not self.step():
                return
        raise AssertionError(f"not done after {most} steps")

    def run_until(self, done: Callable[[], object], most: int = 100_000) -> None:
        for _ in range(most):
            if done():
                return
            self.step()
        raise AssertionError(f"not there after {most} steps")

    def drop_live(self) -> None:
        """Forgets all idle prefixes, as if others had needed their cells."""
        while self.core._sequences.evict_idle():
            pass

    def check_books(self) -> None:
        """What the books say lies in no more cells than there are."""
        sequences = self.core._sequences
        assert 0 <= sequences.cells_busy() <= sequences.cells_used <= sequences.cells_total

    def check_empty(self) -> None:
        """Nothing runs, and once all idle prefixes are dropped no cell is taken."""
        status = self.core.status()
        assert (status.sequences_busy, status.cells_used) == (0, 0)
        assert not self.core._jobs
        assert not self.core._running
        assert not self.core._shelf._arrivals
        self.drop_live()
        assert self.core._sequences.cells_used == 0
        if isinstance(self.backend, LlamaCppBackend):
            memory = self.backend._memory
            # The one behind the last is what ranges are saved and loaded through.
            spare = 0 if memory._scratch is None else 1
            for sequence in range(self.backend.capacity.sequences + spare):
                assert memory.length(sequence) == 0, "llama_memory_seq_pos_max is not -1"


def load(path: Any, cells: int = 1024, sequences: int = 4, batch: int = 64, **more: Any) -> LlamaCppBackend:
    """A tiny model; the same file gives the same fingerprint."""
    return LlamaCppBackend(
        LoadOptions(
            path,
            cells=cells,
            sequences=sequences,
            batch=batch,
            threads=1,
            gpu_layers=0,
            content_hash=str(path),
            **more,
        )
    )

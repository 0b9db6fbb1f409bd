"""A core over a fake backend, driven step by step by hand."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from services.common.errors import Reason, SwarmError
from services.inference_worker.backends.base import SamplerSpec
from services.inference_worker.engine.core import Core
from services.inference_worker.engine.jobs import Ended, Finish, Generated, Job, Output, Submission, job_of
from services.inference_worker.engine.scheduler import Key, Limits
from services.inference_worker.engine.speculator import Speculator
from services.inference_worker.kv.store import KvStore
from tests.fakes.backend import GREEDY, FakeBackend

CANCELLED = SwarmError(Reason.CANCELLED, "cancelled")


def drawn(seed: int) -> SamplerSpec:
    return SamplerSpec(temperature=1.0, seed=seed)


class Reader:
    """What one request's sink got."""

    def __init__(self) -> None:
        self.outputs: list[Output] = []
        self.keeps_up = True

    def __call__(self, outputs: Sequence[Output]) -> bool:
        assert outputs
        assert self.ended is None, "something follows the end"
        self.outputs.extend(outputs)
        return self.keeps_up

    def generated(self, candidate: int = 0) -> list[Generated]:
        return [each for each in self.outputs if isinstance(each, Generated) and each.candidate == candidate]

    def text(self, candidate: int = 0) -> str:
        return "".join(each.text for each in self.generated(candidate))

    def finish(self, candidate: int = 0) -> Finish | None:
        generated = self.generated(candidate)
        assert all(each.finish is None for each in generated[:-1])
        return generated[-1].finish if generated else None

    @property
    def ended(self) -> Ended | None:
        assert all(not isinstance(each, Ended) for each in self.outputs[:-1])
        last = self.outputs[-1] if self.outputs else None
        return last if isinstance(last, Ended) else None

    @property
    def cached(self) -> int:
        assert self.ended is not None
        return self.ended.cached_tokens


class Rig:
    """`tick`: seconds that the clock goes on with every step.

    Tokens are told at once, so that tests can look between two steps, unless it is `paced`.
    """

    def __init__(
        self,
        backend: FakeBackend | None = None,
        limits: Limits | None = None,
        store: KvStore | None = None,
        speculator: Speculator | None = None,
        tick: float = 0.0,
        paced: bool = False,
    ) -> None:
        self.backend = backend or FakeBackend()
        self.store = store or KvStore(self.backend.fingerprint, 0, None)
        self.now = 0.0
        self.news = False
        self.ended: list[Job] = []
        limits = limits or Limits(batch=self.backend.capacity.batch, headroom=4)
        self.core = Core(
            self.backend,
            limits if paced else replace(limits, pace=0.0, progress=0.0),
            self.store,
            speculator,
            clock=lambda: self.now,
            on_ended=self.ended.append,
            news=lambda: self.news,
        )
        self._tick = tick
        self._order = 0

    def submit(
        self,
        prompt: str,
        specs: Sequence[SamplerSpec] = (GREEDY,),
        max_tokens: int = 8,
        stops: tuple[str, ...] = (),
        **more: Any,
    ) -> tuple[Job, Reader]:
        """`more`: other fields of the Submission."""
        reader = Reader()
        submission = Submission(self.backend.tokenize(prompt), specs, reader, max_tokens, stops, **more)
        job = job_of(submission, self._order, max_tokens, self.now)
        self._order += 1
        self.core.add(job, submission)
        return job, reader

    def step(self, times: int = 1) -> bool:
        for _ in range(times):
            self.now += self._tick
            if not self.core.step():
                return False
        return True

    def run(self, most: int = 2000) -> int:
        """Steps until there is nothing to do; their number."""
        for step in range(most):
            if not self.step():
                return step
        raise AssertionError(f"not done after {most} steps")

    def run_until(self, done: Callable[[], object], most: int = 2000) -> None:
        for _ in range(most):
            if done():
                return
            self.step()
        raise AssertionError(f"not there after {most} steps")

    def answer(self, prompt: str, max_tokens: int = 8, **more: Any) -> Reader:
        """Submits and runs it to its end, and until all is saved."""
        reader = self.submit(prompt, max_tokens=max_tokens, **more)[1]
        self.run()
        return reader

    @property
    def computed(self) -> int:
        """Tokens that decodes have worked on."""
        return sum(len(each.tokens) for batch in self.backend.batches for each in batch)

    def drop_live(self) -> None:
        """Forgets all idle prefixes, as if others had needed their cells."""
        sequences = self.core._sequences
        while sequences.evict_idle():
            pass
        assert self.backend.cells_used == 0

    def check_idle(self) -> None:
        status = self.core.status()
        assert (status.sequences_busy, status.cells_used) == (0, 0)
        assert all(sampler.closed for sampler in self.backend.samplers)
        self.check_books()

    def check_books(self) -> None:
        sequences = self.core._sequences
        assert sequences.cells_used == self.backend.cells_used
        for sequence in sequences._all:
            assert sequence.tokens.tolist() == self.backend.held(sequence.id)

    def check_empty(self) -> None:
        """Nothing is left of anything: no request, no cell, no open sampler."""
        self.check_idle()
        self.drop_live()
        assert self.core._sequences.cells_used == 0
        assert not self.core._jobs
        assert not self.core._running
        assert not self.core._shelf._arrivals


class ScriptedDrafter:
    """Guesses what `guess` says of a candidate's tokens: (tokens, most) -> guesses."""

    name = "scripted"

    def __init__(self, guess: Callable[[array[int], int], Sequence[int]]) -> None:
        self._guess = guess
        self.forgotten: list[Key] = []
        self.asked: list[Key] = []

    def propose(self, wanted: Mapping[Key, tuple[array[int], int]]) -> Mapping[Key, Sequence[int]]:
        self.asked.extend(wanted)
        return {key: self._guess(tokens, most)[:most] for key, (tokens, most) in wanted.items()}

    def forget(self, key: Key) -> None:
        self.forgotten.append(key)

    def close(self) -> None:
        """Nothing to free."""


class EagerPacer:
    """Stands for `Pacer`: always feeds up to `most` guesses, whatever they cost."""

    def __init__(self, most: int = 8) -> None:
        self._most = most
        self.said: dict[Key, list[int]] = {}

    def wanted(self, keys: Collection[Key], others: int, room: int) -> dict[Key, int]:
        return dict.fromkeys(keys, min(self._most, room)) if room > 0 else {}

    def share(self, lengths: Mapping[Key, int], streams: int, others: int, room: int) -> dict[Key, int]:
        fed: dict[Key, int] = {}
        for key, length in lengths.items():
            fed[key] = min(length, room)
            room -= fed[key]
        return fed

    def observe(self, rows: int, seconds: float, drafting: float = 0.0, drafted: int = 0) -> None:
        """Costs play no part."""

    def settle(self, key: Key, guesses: Sequence[int], fed: int, said: Sequence[int]) -> None:
        self.said.setdefault(key, []).extend(said)

    def forget(self, key: Key) -> None:
        """Nothing is kept that matters."""


def eager(guess: Callable[[array[int], int], Sequence[int]], most: int = 8) -> Speculator:
    return Speculator(ScriptedDrafter(guess), EagerPacer(most))  # type: ignore[arg-type]

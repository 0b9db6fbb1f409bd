"""Thousands of random requests: every one ends once, nothing leaks, and what was said is right.

The gate runs a short form; `make soak` runs 10,000 requests on every tiny model (SWARM_SOAK_REQUESTS).
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from services.inference_worker.backends.base import Backend, Sampler, SamplerSpec
from services.inference_worker.backends.llama_cpp.backend import LlamaCppBackend
from services.inference_worker.engine.lookup import LookupDrafter
from services.inference_worker.engine.speculator import Speculator
from services.inference_worker.kv.disk import DiskTier
from services.inference_worker.kv.store import KvStore
from tests.fakes import tiny_kinds
from tests.fakes.backend import END, FakeBackend, ToyModel
from tests.fakes.tiny_kinds import Kind
from tests.integration.engine_driver import Driver, Request, load
from tests.integration.traffic import Counts, Traffic
from tests.unit.inference_worker.engine.rig import EagerPacer

REQUESTS = int(os.environ.get("SWARM_SOAK_REQUESTS", "0"))
LONG_FORM = REQUESTS > 0
FAKE_REQUESTS = REQUESTS or 500
REAL_REQUESTS = REQUESTS or 120

# Between the first fifth of the requests and the end: what allocators keep for reuse, not what grows.
MOST_GROWTH = 24 << 20

Soak = Callable[[Driver, Traffic, int], None]

pytestmark = pytest.mark.timeout(3600 if LONG_FORM else 120)


def resident() -> int:
    """Bytes of this process in memory; 0 where the system does not tell."""
    statm = Path("/proc/self/statm")
    gc.collect()
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0


class Forgetful(FakeBackend):
    """Does not remember what it was asked for: a soak asks for much. Counts its open samplers."""

    def __init__(self, sequences: int, cells: int, partial_prefix: bool, rollback: int, chunk: int) -> None:
        super().__init__(sequences, cells, 64, partial_prefix, rollback=rollback, chunk=chunk)
        self.before_decode = lambda slices: self.batches.clear()
        self.open = 0

    def sampler(self, spec: SamplerSpec) -> Sampler:
        self.samplers = [each for each in self.samplers if not each.closed]
        return super().sampler(spec)


def lookup() -> Speculator:
    return Speculator(LookupDrafter(), EagerPacer(4))  # type: ignore[arg-type]


def figures(name: str, driver: Driver, traffic: Traffic, before: int, after: int) -> str:
    status = driver.core.status()
    return "\n".join(
        (
            f"\n{name}: {traffic.counts}",
            f"  steps {status.steps}, suspensions {status.suspensions}, cached {status.cached}",
            f"  tokens of prompts {status.prompt_tokens}, of answers {status.generated_tokens}",
            f"  guesses {status.drafted_tokens}, right {status.accepted_tokens}",
            f"  store {status.store}",
            f"  resident after a fifth {before >> 20} MiB, at the end {after >> 20} MiB",
        )
    )


def nothing_is_missing(counts: Counts, driver: Driver) -> None:
    """All that a soak is for has happened."""
    status = driver.core.status()
    assert min(counts.whole, counts.stopped, counts.cancelled, counts.late, counts.settled) > 0, counts
    assert min(counts.interrupted, counts.unread) > 0, counts
    assert status.suspensions > 0
    assert min(status.cached.live, status.cached.ram) > 0


@pytest.fixture
def soak(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Soak:
    """Runs so many requests and checks what is left; the long form tells its figures."""

    def run(driver: Driver, traffic: Traffic, requests: int) -> None:
        traffic.run(requests // 5)
        before = resident()
        traffic.run(requests - requests // 5)
        after = resident()
        if LONG_FORM:
            with capsys.disabled():
                print(figures(request.node.name, driver, traffic, before, after))
        nothing_is_missing(traffic.counts, driver)
        driver.core.save_all()
        driver.check_empty()
        assert after - before < MOST_GROWTH

    return run


def right(request: Request, specs: Sequence[SamplerSpec]) -> None:
    """What the toy model says alone is what it said here, as far as it came."""
    model = ToyModel()
    for index, spec in enumerate(specs):
        said = [token for token in request.said(index) if token != END]
        seed = spec.seed if spec.temperature > 0 else None
        expected = model.answer(bytes(request.prompt).decode(), len(said), seed)
        assert bytes(said).decode() == expected


@pytest.mark.parametrize(
    ("whole", "speculates", "chunk"),
    [(False, False, 0), (False, False, 24), (False, True, 24), (True, False, 24), (True, True, 0)],
)
def test_the_toy_model(tmp_path: Path, whole: bool, speculates: bool, chunk: int, soak: Soak) -> None:
    """`chunk`: prompts in steps of their own, of so many tokens; 0: together with the streams."""
    backend = Forgetful(4, 600, not whole, rollback=64 if speculates else 0, chunk=chunk)
    # A conversation's blocks take some kilobytes: RAM holds a few of them, the disk some more.
    store = KvStore(backend.fingerprint, 40_000, DiskTier(tmp_path, 200_000, queue=50_000))
    driver = Driver(backend, store, lookup() if speculates else None)
    try:
        soak(driver, Traffic(driver, 300, check=right), FAKE_REQUESTS)
    finally:
        store.close(10.0)
    status = driver.core.status().store
    assert status.ram.bytes_used <= 40_000
    assert status.disk is not None
    assert driver.core.status().cached.disk > 0
    assert backend.cells_used == 0
    assert all(sampler.closed for sampler in backend.samplers)


class Samplers:
    """Counts a real backend's samplers that are not closed."""

    def __init__(self, backend: Backend) -> None:
        self.open: set[int] = set()
        self._make = backend.sampler
        self._next = 0

    def __call__(self, spec: SamplerSpec) -> Sampler:
        sampler = self._make(spec)
        number = self._next = self._next + 1
        self.open.add(number)
        close = sampler.close

        def closed() -> None:
            self.open.remove(number)
            close()

        sampler.close = closed  # type: ignore[method-assign]
        return sampler


@pytest.fixture(params=list(Kind))
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LlamaCppBackend]:
    kind: Kind = request.param
    backend = load(tiny_kinds.write(tmp_path / f"{kind}.gguf", kind), cells=512, sequences=4)
    yield backend
    backend.close()


def test_tiny_models(
    backend: LlamaCppBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, soak: Soak
) -> None:
    samplers = Samplers(backend)
    monkeypatch.setattr(backend, "sampler", samplers)
    store = KvStore(backend.fingerprint, 1 << 20, DiskTier(tmp_path / "kv", 4 << 20, queue=1 << 20))
    driver = Driver(backend, store, lookup())
    try:
        soak(driver, Traffic(driver, 300), REAL_REQUESTS)
    finally:
        store.close(10.0)
    assert not samplers.open

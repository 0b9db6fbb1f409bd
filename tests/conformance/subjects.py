"""The backends under test, and how a test feeds one and reads what it has learnt from the tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from services.inference_worker.backends.base import Backend, Outcome, Row, SamplerSpec, Slice
from services.inference_worker.backends.llama_cpp.backend import LlamaCppBackend
from services.inference_worker.backends.llama_cpp.options import LoadOptions
from tests.fakes import tiny_kinds
from tests.fakes.backend import FakeBackend

BATCH = 64
SEQUENCES = 4
CELLS = 1024
_GREEDY = SamplerSpec(temperature=0.0)

# A token and its log-probability.
Drawn = tuple[int, float]


@dataclass(frozen=True, slots=True)
class Subject:
    """`make(cells)` gives a fresh backend of BATCH tokens and SEQUENCES sequences.

    `limited`: every token takes a cell. `tolerance` of log-probabilities where llama.cpp rounds otherwise:
    its kernels differ for one row and for many, and it sums over cells in the order in which they lie. The
    last bit of an f16 in the KV makes some thousandths at the end of these models of random weights; one
    wrong token in the prompt makes more than ten times the tolerance. Equal batches over equal cells give
    equal bits.
    """

    name: str
    make: Callable[[int], Backend]
    limited: bool = True
    tolerance: float = 0.02


def _llama(kind: tiny_kinds.Kind) -> Callable[[int], Backend]:
    def make(cells: int) -> Backend:
        return LlamaCppBackend(
            LoadOptions(
                _file(kind),
                cells=cells,
                sequences=SEQUENCES,
                batch=BATCH,
                threads=1,
                gpu_layers=0,
                content_hash=kind,
            )
        )

    return make


@cache
def _folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="tiny-models-")


@cache
def _file(kind: tiny_kinds.Kind) -> Path:
    return tiny_kinds.write(Path(_folder().name) / f"{kind}.gguf", kind)


SUBJECTS = [
    Subject("fake", lambda cells: FakeBackend(SEQUENCES, cells, BATCH), tolerance=0.0),
    Subject(
        "fake-whole",
        lambda cells: FakeBackend(SEQUENCES, cells, BATCH, partial_prefix=False, rollback=8),
        tolerance=0.0,
    ),
    *(Subject(kind, _llama(kind), limited=kind is not tiny_kinds.Kind.RECURRENT) for kind in tiny_kinds.Kind),
]
every_backend = pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)


def feed(backend: Backend, sequence: int, tokens: list[int], position: int = 0, chunk: int = BATCH) -> Drawn:
    """Decodes `tokens` behind `position` tokens, in chunks, and draws greedily behind the last one."""
    row = -1
    for at in range(0, len(tokens), chunk):
        part = tokens[at : at + chunk]
        assert backend.decode([Slice(sequence, position + at, part, 1)]) is Outcome.DONE
        row = len(part) - 1
    return draw(backend, row)


def draw(backend: Backend, row: Row) -> Drawn:
    sampler = backend.sampler(_GREEDY)
    sampled = sampler.sample(row)
    sampler.close()
    return sampled.token, sampled.logprob


def go_on(backend: Backend, sequence: int, position: int, first: int, steps: int) -> list[Drawn]:
    """The greedy answer behind `position` tokens that begins with the token `first`, one step at a time."""
    drawn: list[Drawn] = []
    token = first
    for step in range(steps):
        assert backend.decode([Slice(sequence, position + step, [token], 1)]) is Outcome.DONE
        drawn.append(draw(backend, 0))
        token = drawn[-1][0]
    return drawn


def same(subject: Subject, one: list[Drawn], other: list[Drawn]) -> None:
    """Both answers are the same but for rounding."""
    assert [token for token, _ in one] == [token for token, _ in other]
    assert [logprob for _, logprob in one] == pytest.approx(
        [logprob for _, logprob in other], abs=subject.tolerance
    )

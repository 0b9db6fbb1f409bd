"""The hand-written model copies what stands in the prompt, and nothing else: a small one, wired alike."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.inference_worker.backends.base import Outcome, SamplerSpec, Slice
from services.inference_worker.backends.llama_cpp.backend import LlamaCppBackend
from services.inference_worker.backends.llama_cpp.options import LoadOptions
from tests.bench import models, words


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaCppBackend]:
    path = models.write(tmp_path_factory.mktemp("bench") / "small.gguf", models.SMALL)
    backend = LlamaCppBackend(LoadOptions(path=path, cells=1024, sequences=1, batch=512, threads=1))
    yield backend
    backend.close()


def answer(backend: LlamaCppBackend, text: str, tokens: int) -> tuple[int, str]:
    """(tokens of the prompt, the greedy answer)."""
    cue = text.split()[0]
    prompt = backend.tokenize(f"<|im_start|>user\n{text}<|im_end|><|im_start|>assistant\n {cue}")
    backend.drop(0)
    sampler = backend.sampler(SamplerSpec(temperature=0))
    fed, said = list(prompt), b""
    position = 0
    for _ in range(tokens):
        outcome = backend.decode([Slice(0, position, fed, 1)])
        assert outcome is Outcome.DONE
        position += len(fed)
        fed = [sampler.sample(len(fed) - 1).token]
        said += backend.piece(fed[0])
    return len(prompt), said.decode()


def test_it_copies_what_stands_in_the_prompt(backend: LlamaCppBackend) -> None:
    text = words.text(300, 7)
    length, said = answer(backend, text, 60)
    assert said in text
    assert len(said.split()) == 60
    assert length < 300 + 30


def test_it_draws_by_lot_where_nothing_is_to_be_copied(backend: LlamaCppBackend) -> None:
    first, second = (answer(backend, words.uncopied(40, seed), 60)[1] for seed in (1, 2))
    assert first != second
    assert not words.repeats(first)
    assert not set(first.split()) & set(words.uncopied(40, 1).split())

"""The llama.cpp backend against the Protocol's promises, on a tiny model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from services.common.errors import Reason, SwarmError
from services.inference_worker.backends.base import BackendFailure, Outcome, SamplerSpec, Slice
from services.inference_worker.backends.llama_cpp.backend import LlamaCppBackend
from services.inference_worker.backends.llama_cpp.options import LoadOptions
from tests.fakes import tiny_gguf

GREEDY = SamplerSpec(temperature=0.0)


def options(path: Path, cells: int = 512, sequences: int = 4) -> LoadOptions:
    return LoadOptions(path, cells=cells, sequences=sequences, batch=64, threads=1, gpu_layers=0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf.write(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture
def backend(model: Path) -> Iterator[LlamaCppBackend]:
    backend = LlamaCppBackend(options(model))
    yield backend
    backend.close()


def feed(backend: LlamaCppBackend, sequence: int, position: int, text: str) -> Outcome:
    return backend.decode([Slice(sequence, position, backend.tokenize(text), 1)])


class TestWords:
    @pytest.mark.parametrize("text", ["hello", "tab\tand\nline", "é€🙂", "", "\x00\x7f"])
    def test_text_survives_the_round_trip(self, backend: LlamaCppBackend, text: str) -> None:
        tokens = backend.tokenize(text)
        assert b"".join(backend.piece(token) for token in tokens).decode() == text

    def test_markup_is_one_token_and_is_shown(self, backend: LlamaCppBackend) -> None:
        (token,) = backend.tokenize("<tool_call>")
        assert backend.piece(token) == b"<tool_call>"
        (end,) = backend.tokenize("<|im_end|>")
        assert backend.is_end(end)
        assert not backend.is_end(token)

    def test_long_text_is_tokenised_whole(self, backend: LlamaCppBackend) -> None:
        assert len(backend.tokenize("x" * 100_000)) == 100_000

    def test_a_request_that_comes_too_late_is_refused(self, model: Path) -> None:
        backend = LlamaCppBackend(options(model))
        backend.close()
        with pytest.raises(SwarmError) as caught:
            backend.tokenize("too late")
        assert caught.value.reason is Reason.UNAVAILABLE

    def test_the_facts(self, backend: LlamaCppBackend) -> None:
        assert backend.vocabulary.size == 256 + 7
        assert (backend.vocabulary.bos, backend.vocabulary.eos) == ("<|endoftext|>", "<|im_end|>")
        capacity = backend.capacity
        assert (capacity.sequences, capacity.cells, capacity.batch) == (4, 512, 64)
        assert capacity.partial_prefix


class TestDecoding:
    def test_greedy_takes_the_likeliest_and_knows_its_probability(self, backend: LlamaCppBackend) -> None:
        assert feed(backend, 0, 0, "hello") is Outcome.DONE
        logits = backend.logits(4).astype(np.float64)
        sampled = backend.sampler(GREEDY).sample(4)
        assert sampled.token == logits.argmax()
        expected = logits.max() - np.log(np.exp(logits).sum())
        assert sampled.logprob == pytest.approx(expected, abs=1e-4)

    def test_a_drawn_token_has_the_models_probability_not_the_filters(self, backend: LlamaCppBackend) -> None:
        feed(backend, 0, 0, "hello")
        only_one = backend.sampler(SamplerSpec(temperature=1.0, top_k=1, seed=3)).sample(4)
        assert only_one == backend.sampler(GREEDY).sample(4)
        assert only_one.logprob < 0

    def test_seeds_decide(self, backend: LlamaCppBackend) -> None:
        feed(backend, 0, 0, "hello")

        def draw(seed: int) -> list[int]:
            sampler = backend.sampler(SamplerSpec(temperature=2.0, seed=seed))
            return [sampler.sample(4).token for _ in range(12)]

        assert draw(1) == draw(1)
        assert draw(1) != draw(2)

    def test_penalties_push_what_was_said_away(self, backend: LlamaCppBackend) -> None:
        feed(backend, 0, 0, "hello")
        sampler = backend.sampler(SamplerSpec(temperature=0.0, frequency_penalty=2.0, presence_penalty=2.0))
        tokens = [sampler.sample(4).token for _ in range(40)]
        assert tokens[0] == backend.sampler(GREEDY).sample(4).token
        assert len(set(tokens)) > 3
        sampler.close()
        sampler.close()

    def test_a_copy_and_a_cut_compute_the_same(self, backend: LlamaCppBackend) -> None:
        feed(backend, 0, 0, "shared prefix, one")
        backend.copy(0, 1, len("shared prefix, "))
        feed(backend, 1, len("shared prefix, "), "two")
        copied = backend.logits(2).copy()
        assert backend.cut(0, len("shared prefix, "))
        feed(backend, 0, len("shared prefix, "), "two")
        cut = backend.logits(2).copy()
        feed(backend, 2, 0, "shared prefix, two")
        fresh = backend.logits(17).copy()
        assert np.allclose(copied, fresh, atol=0.05)
        assert np.allclose(cut, fresh, atol=0.05)

    def test_no_room_changes_nothing(self, model: Path) -> None:
        backend = LlamaCppBackend(options(model, cells=256, sequences=2))
        cells = backend.capacity.cells
        for position in range(0, cells, 64):
            assert feed(backend, 0, position, "x" * 64) is Outcome.DONE
        assert feed(backend, 1, 0, "no room") is Outcome.NO_ROOM
        backend.drop(0)
        assert feed(backend, 1, 0, "room") is Outcome.DONE
        backend.close()

    def test_a_batch_with_a_hole_is_rejected_and_the_next_one_works(self, backend: LlamaCppBackend) -> None:
        feed(backend, 0, 0, "hello")
        assert feed(backend, 0, 99, "hole") is Outcome.REJECTED
        assert feed(backend, 0, 5, " again") is Outcome.DONE

    def test_an_interrupt_ends_the_decode_and_a_cut_undoes_it(self, backend: LlamaCppBackend) -> None:
        feed(backend, 0, 0, "hello")
        backend.interrupt(True)
        assert feed(backend, 0, 5, "x" * 60) is Outcome.INTERRUPTED
        backend.interrupt(False)
        assert backend.cut(0, 5)
        feed(backend, 0, 5, " world")
        undisturbed = backend.logits(5).copy()
        feed(backend, 1, 0, "hello world")
        assert np.allclose(undisturbed, backend.logits(10), atol=0.05)

    def test_too_many_tokens_never_reach_native_code(self, backend: LlamaCppBackend) -> None:
        with pytest.raises(ValueError, match="64 tokens"):
            feed(backend, 0, 0, "x" * 65)

    def test_a_row_without_logits_is_a_failure_not_a_crash(self, backend: LlamaCppBackend) -> None:
        feed(backend, 0, 0, "hello")
        with pytest.raises(BackendFailure):
            backend.sampler(GREEDY).sample(0)


class TestLoading:
    def test_a_file_that_llama_cpp_refuses_is_told_in_its_words(self, model: Path, tmp_path: Path) -> None:
        # The header is sound, but the architecture is unknown.
        broken = tmp_path / "broken.gguf"
        broken.write_bytes(model.read_bytes().replace(b"qwen2", b"qwenX"))
        with pytest.raises(SwarmError) as caught:
            LlamaCppBackend(options(broken))
        assert caught.value.reason is Reason.MODEL_FILE_INVALID
        assert str(broken) in caught.value.message
        assert "qwenX" in caught.value.message

    def test_the_batch_has_room_for_every_stream(self, model: Path) -> None:
        backend = LlamaCppBackend(LoadOptions(model, 512, sequences=100, batch=32, threads=1, gpu_layers=0))
        assert backend.capacity.batch == 100
        backend.close()

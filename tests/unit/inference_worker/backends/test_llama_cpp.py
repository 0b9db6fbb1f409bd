"""The llama.cpp backend against the Protocol's promises, on a tiny model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.common.errors import Reason, SwarmError
from services.inference_worker.backends.base import BackendFailure, Outcome, SamplerSpec, Slice
from services.inference_worker.backends.llama_cpp import log
from services.inference_worker.backends.llama_cpp.backend import LlamaCppBackend
from services.inference_worker.backends.llama_cpp.filler import Filler
from services.inference_worker.backends.llama_cpp.memory import Kind, Shape
from services.inference_worker.backends.llama_cpp.options import KvType, LoadOptions
from tests.fakes import tiny_gguf, tiny_kinds

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


class TestFiller:
    """Rows of nobody's change the time of a step and nothing else."""

    @pytest.fixture
    def filled(self, backend: LlamaCppBackend, monkeypatch: pytest.MonkeyPatch) -> LlamaCppBackend:
        filler = Filler(width=64, tiled=False)
        filler.measure(lambda rows: 1.0 if rows % 4 == 0 else 2.0)
        assert filler.missing(6, 6, 0) == 2
        monkeypatch.setattr(backend, "_filler", filler)
        return backend

    def test_all_rows_keep_their_logits(self, filled: LlamaCppBackend, model: Path) -> None:
        plain = LlamaCppBackend(options(model))
        for backend in (filled, plain):
            for sequence in range(3):
                feed(backend, sequence, 0, f"prompt {sequence}")
            for position in range(8, 20):
                step = [Slice(sequence, position, [97 + position], 1) for sequence in range(3)]
                assert backend.decode(step) is Outcome.DONE
        for row in range(3):
            assert np.allclose(filled.logits(row), plain.logits(row), atol=0.05)
        plain.close()

    def test_its_cells_are_free_again(self, filled: LlamaCppBackend) -> None:
        tokens = filled.tokenize("x" * 61)
        for start in range(8):
            # All 512 cells are used in the end, though filler was in every step.
            assert filled.decode([Slice(start % 4, 61 * (start // 4), tokens, 1)]) is Outcome.DONE
        assert filled.decode([Slice(0, 122, tokens[:24], 1)]) is Outcome.DONE
        assert filled.decode([Slice(0, 146, tokens[:1], 1)]) is Outcome.NO_ROOM

    def test_it_gives_way_where_there_are_no_cells_for_it(self, filled: LlamaCppBackend) -> None:
        for position in range(0, 508, 62):
            assert filled.decode([Slice(0, position, [97] * min(62, 507 - position), 1)]) is Outcome.DONE
        assert filled.decode([Slice(0, 507, [97] * 5, 5)]) is Outcome.DONE
        assert filled.logits(4).size == filled.vocabulary.size

    def test_it_never_asks_for_more_logits_than_there_is_room_for(
        self, model: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        backend = LlamaCppBackend(replace(options(model), outputs=6))
        filler = Filler(width=64, tiled=False)
        filler.measure(lambda rows: 1.0 if rows % 4 == 0 else 2.0)
        monkeypatch.setattr(backend, "_filler", filler)
        assert backend.decode([Slice(0, 0, [97] * 6, 6)]) is Outcome.DONE
        backend.close()

    def test_a_full_batch_has_no_room_for_it(self, filled: LlamaCppBackend) -> None:
        assert filled.decode([Slice(0, 0, [97] * 63, 1)]) is Outcome.DONE
        assert filled.decode([Slice(1, 0, [97] * 64, 1)]) is Outcome.DONE

    def test_what_is_measured_leaves_nothing_behind(self, backend: LlamaCppBackend) -> None:
        backend.calibrate()
        assert feed(backend, 0, 0, "hello") is Outcome.DONE

    def test_stateful_models_do_without(self, tmp_path: Path) -> None:
        backend = LlamaCppBackend(
            options(tiny_kinds.write(tmp_path / "model.gguf", tiny_kinds.Kind.RECURRENT))
        )
        backend.calibrate()
        assert backend.decode([Slice(0, 0, [97] * 6, 1)]) is Outcome.DONE
        backend.close()


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

    def test_no_more_sequences_than_llama_cpp_has(self, model: Path) -> None:
        backend = LlamaCppBackend(options(model, sequences=256))
        assert backend.capacity.sequences == 255, "one is kept for saving ranges"
        assert feed(backend, 254, 0, "hello") is Outcome.DONE
        state = backend.save(254, 1, 4)
        backend.cut(254, 1)
        assert backend.load(254, 1, 4, state)
        backend.close()

    def test_flash_attention_as_wished_or_as_it_came_out(self, model: Path) -> None:
        for wish, expected in ((None, True), (True, True), (False, False)):
            backend = LlamaCppBackend(replace(options(model), flash_attention=wish))
            assert backend.flash_attention is expected
            backend.close()

    def test_what_a_warning_tells_is_known(self) -> None:
        log.forget_complaints()
        log._on_log(3, b"op: Flash Attention not supp", None)
        log._on_log(5, b"orted, set to disabled\n", None)
        assert log.warned("Flash Attention not supported")
        log.forget_complaints()
        assert not log.warned("Flash Attention not supported")

    def test_fingerprints_tell_apart_what_states_depend_on(self, model: Path) -> None:
        base = replace(options(model), content_hash="a" * 64)
        fingerprints = [
            fingerprint(each)
            for each in (
                base,
                replace(base, content_hash="b" * 64),
                replace(base, extra="another template"),
                replace(base, flash_attention=False),
            )
        ]
        assert len(set(fingerprints)) == len(fingerprints)
        assert fingerprint(replace(base, cells=1024, sequences=7, batch=32)) == fingerprints[0]
        assert fingerprint(options(model)) != fingerprint(options(model)), "without a hash nothing is shared"

    def test_states_without_flash_attention_are_right_as_well(self, model: Path) -> None:
        """Values lie transposed there."""
        backend = LlamaCppBackend(replace(options(model), flash_attention=False))
        feed(backend, 0, 0, "hello wor")
        first, second = backend.save(0, 0, 4), backend.save(0, 4, 9)
        feed(backend, 0, 9, "ld")
        expected = backend.logits(1).copy()
        backend.drop(0)
        assert backend.load(1, 0, 4, first)
        assert backend.load(1, 4, 9, second)
        feed(backend, 1, 9, "ld")
        assert np.array_equal(backend.logits(1), expected)
        backend.close()

    def test_quantised_keys_and_values(self, tmp_path: Path) -> None:
        class Wide(tiny_gguf.Sketch):
            heads, kv = 2, 64

        wide = Wide(tmp_path / "wide.gguf", "qwen2", 1, None, 512)
        wide.attention()
        wide.ends()
        for block in ("blk.0.", "blk.1."):
            wide.norm(f"{block}attn_norm")
            wide.norm(f"{block}ffn_norm")
            wide.projections(block, bias=True)
            wide.dense_feed_forward(block)
        plain = options(wide.finish())
        sizes = []
        for kv_type in KvType:
            backend = LlamaCppBackend(replace(plain, kv_type=kv_type))
            feed(backend, 0, 0, "hello")
            state = backend.save(0, 0, 5)
            feed(backend, 0, 5, " world")
            expected = backend.logits(5).copy()
            backend.drop(0)
            assert backend.load(0, 0, 5, state)
            feed(backend, 0, 5, " world")
            assert np.array_equal(backend.logits(5), expected)
            sizes.append(len(state))
            backend.close()
        assert sizes[0] > 1.5 * sizes[1] > 1.5 * sizes[2]


class TestBounds:
    """What would end the process in native code is refused before."""

    def test_tokens_that_are_none(self, backend: LlamaCppBackend) -> None:
        for token in (-1, 256 + 7, 1 << 31):
            with pytest.raises(ValueError, match="no token"):
                backend.piece(token)
        assert backend.decode([Slice(0, 0, [256 + 7], 1)]) is Outcome.REJECTED
        assert backend.decode([Slice(0, 0, [-1], 1)]) is Outcome.REJECTED
        assert feed(backend, 0, 0, "hello") is Outcome.DONE

    def test_an_empty_batch(self, backend: LlamaCppBackend) -> None:
        assert backend.decode([]) is Outcome.REJECTED

    def test_sequences_that_are_none(self, backend: LlamaCppBackend) -> None:
        for sequence in (-1, 4):
            with pytest.raises(ValueError, match="no sequence"):
                feed(backend, sequence, 0, "hello")

    def test_more_outputs_than_there_is_room_for(self, model: Path) -> None:
        backend = LlamaCppBackend(replace(options(model), outputs=6))
        assert backend.capacity.outputs == 6
        text = backend.tokenize("hello world")
        with pytest.raises(ValueError, match="at most 6"):
            backend.decode([Slice(0, 0, text, 7)])
        assert backend.decode([Slice(0, 0, text, 6)]) is Outcome.DONE
        assert backend.logits(len(text) - 6).size == backend.vocabulary.size
        backend.close()

    def test_ranges_that_are_not_there(self, backend: LlamaCppBackend) -> None:
        feed(backend, 0, 0, "hello")
        for start, end in ((0, 6), (3, 3), (-1, 2), (4, 2)):
            with pytest.raises(ValueError, match="range"):
                backend.save(0, start, end)
        state = backend.save(0, 1, 4)
        assert not backend.load(0, 1, 4, state), "it is not the end of the sequence"
        assert not backend.load(1, 1, 4, state)

    def test_part_of_what_can_only_be_taken_whole(self, tmp_path: Path) -> None:
        recurrent = tiny_kinds.write(tmp_path / "recurrent.gguf", tiny_kinds.Kind.RECURRENT)
        backend = LlamaCppBackend(options(recurrent))
        feed(backend, 0, 0, "hello")
        with pytest.raises(ValueError, match="copied apart"):
            backend.copy(0, 1, 3)
        with pytest.raises(ValueError, match="only be saved whole"):
            backend.save(0, 0, 3)
        backend.close()


def fingerprint(options: LoadOptions) -> str:
    backend = LlamaCppBackend(options)
    backend.close()
    return backend.fingerprint


@pytest.mark.parametrize(
    ("chunked", "length", "first"),
    [
        (False, 5, 0),
        (False, 8, 1),
        (False, 100, 93),
        (True, 5, 0),
        (True, 8, 8),
        (True, 15, 8),
        (True, 17, 16),
    ],
)
def test_where_a_window_begins(chunked: bool, length: int, first: int) -> None:
    assert Shape(Kind.WINDOWED, 8, chunked).needed_from(length) == first

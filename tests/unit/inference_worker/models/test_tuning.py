"""What is chosen for a machine and a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from services.common.errors import Reason, SwarmError
from services.common.settings import Settings
from services.inference_worker.backends.llama_cpp.options import KvType
from services.inference_worker.models.gguf_file import ArraySize, GgufFile, Value
from services.inference_worker.models.memory import Memory
from services.inference_worker.models.tuning import Machine, Tuning, choose

GIB = 1 << 30
LAPTOP = Machine(cores=4, threads=8)


def model(**changes: Value) -> GgufFile:
    """The shape of a 7B model with grouped attention: 56 KiB of f16 for each cell."""
    metadata: dict[str, Value] = {
        "context_length": 131_072,
        "block_count": 28,
        "embedding_length": 3584,
        "feed_forward_length": 18_944,
        "attention.head_count": 28,
        "attention.head_count_kv": 4,
        **changes,
    }
    architecture = str(metadata.pop("architecture", "qwen2"))
    named: dict[str, Value] = {f"{architecture}.{name}": value for name, value in metadata.items()}
    named["general.architecture"] = architecture
    named["tokenizer.ggml.tokens"] = ArraySize(151_936)
    return GgufFile((Path("model.gguf"),), named, 4 * GIB)


def tuned(
    gib: float = 64, machine: Machine = LAPTOP, file: GgufFile | None = None, **settings: object
) -> Tuning:
    return choose(file or model(), Settings(**settings), machine, Memory(int(gib * GIB), "free RAM"))  # type: ignore[arg-type]


class TestThreads:
    @pytest.mark.parametrize(
        ("cores", "threads", "expected"),
        [(1, 1, 1), (2, 2, 2), (4, 8, 4), (7, 7, 7), (8, 8, 7), (16, 16, 15), (8, 16, 8), (64, 128, 64)],
    )
    def test_all_cores_but_one_where_there_are_plenty_and_no_hyperthreads(
        self, cores: int, threads: int, expected: int
    ) -> None:
        assert tuned(machine=Machine(cores, threads)).choices.threads == expected

    def test_as_set(self) -> None:
        assert tuned(machine=Machine(16, 16), threads=3).choices.threads == 3


class TestBatches:
    def test_a_batch_holds_a_token_of_every_stream(self) -> None:
        choices = tuned(batch=32, slots=100).choices
        assert (choices.batch, choices.micro_batch) == (100, 100)

    @pytest.mark.parametrize(("wish", "expected"), [(0, 128), (64, 64), (4096, 2048)])
    def test_micro_batches(self, wish: int, expected: int) -> None:
        assert tuned(batch=2048, micro_batch=wish).choices.micro_batch == expected

    def test_they_are_larger_where_more_than_processors_computes(self) -> None:
        machine = Machine(4, 4, offloads=True)
        assert tuned(machine=machine, batch=2048).choices.micro_batch == 512
        assert tuned(machine=machine, batch=2048, gpu_layers=0).choices.micro_batch == 128

    def test_rows_of_logits_are_bounded_by_the_memory(self) -> None:
        assert tuned(64, slots=16).outputs == 16 + 1 + 64
        assert tuned(5.5, slots=200).outputs < 264
        assert tuned(5.5, slots=200).outputs >= 201


class TestKvType:
    def test_f16_where_there_is_memory(self) -> None:
        tuning = tuned(64)
        assert (tuning.kv_type, tuning.choices.kv_type) == (KvType.F16, "f16")
        assert tuning.size.context_length == 131_072

    def test_half_of_it_where_agents_prompts_would_not_fit(self) -> None:
        tuning = tuned(7)
        assert tuning.kv_type is KvType.Q8_0
        plain = tuned(7, kv_type="f16")
        assert plain.size.context_length < 32_768
        assert tuning.size.context_length > 1.5 * plain.size.context_length
        assert str(plain.size.context_length) in tuning.why

    def test_short_memory_is_enough_for_a_model_of_short_contexts(self) -> None:
        assert tuned(7, file=model(context_length=4096)).kv_type is KvType.F16

    def test_what_fits_only_so(self) -> None:
        wanted = tuned(7, kv_type="q8_0").size.cells * 5 // 4
        assert tuned(7, context=wanted).kv_type is KvType.Q8_0
        with pytest.raises(SwarmError) as caught:
            tuned(7, context=wanted, kv_type="f16")
        assert caught.value.reason is Reason.MODEL_TOO_LARGE

    def test_a_context_that_is_set_and_fits_stays_f16(self) -> None:
        assert tuned(7, context=8192).kv_type is KvType.F16

    def test_as_set(self) -> None:
        tuning = tuned(64, kv_type="q4_0")
        assert (tuning.kv_type, tuning.choices.kv_type) == (KvType.Q4_0, "q4_0")

    @pytest.mark.parametrize("kv_type", ["q8_0", "q4_0"])
    def test_never_without_flash_attention(self, kv_type: str) -> None:
        with pytest.raises(SwarmError, match="needs flash attention") as caught:
            tuned(64, kv_type=kv_type, flash_attention="off")
        assert (caught.value.reason, caught.value.param) == (Reason.INVALID_FIELD, "kv_type")
        assert tuned(7, flash_attention="off").kv_type is KvType.F16

    def test_never_with_heads_that_do_not_divide(self) -> None:
        odd = model(**{"attention.key_length": 80})
        assert tuned(7, file=odd).kv_type is KvType.F16
        with pytest.raises(SwarmError, match="80 elements"):
            tuned(64, file=odd, kv_type="q8_0")

    def test_too_large_in_any_type(self) -> None:
        with pytest.raises(SwarmError) as caught:
            tuned(3)
        assert caught.value.reason is Reason.MODEL_TOO_LARGE


class TestFlashAttention:
    @pytest.mark.parametrize(("wish", "expected"), [("auto", None), ("on", True), ("off", False)])
    def test_as_set_or_as_llama_cpp_can(self, wish: str, expected: bool | None) -> None:
        tuning = tuned(flash_attention=wish)
        assert tuning.flash_attention is expected
        assert tuning.choices.flash_attention is (expected is not False)

    def test_not_for_a_model_that_runs_without(self) -> None:
        tuning = tuned(7, file=model(architecture="grok"))
        assert tuning.flash_attention is False
        assert tuning.kv_type is KvType.F16


def test_choices_can_be_completed() -> None:
    choices = replace(tuned().choices, speculation="lookup", reuse="whole")
    assert (choices.speculation, choices.reuse, choices.gpu_layers) == ("lookup", "whole", -1)

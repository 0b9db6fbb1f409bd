"""How much context a model gets, and when it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import Reason, SwarmError
from services.inference_worker.models.costs import Terms
from services.inference_worker.models.gguf_file import GgufFile, Value
from services.inference_worker.models.memory import Memory
from services.inference_worker.models.sizing import plan

GIB = 1 << 30


def model(weights: int = 4 * GIB, trained: int = 32_768, **changes: Value) -> GgufFile:
    """The shape of a 7B model with grouped attention: 56 KiB of KV for each cell."""
    metadata: dict[str, Value] = {
        "general.architecture": "qwen2",
        "qwen2.context_length": trained,
        "qwen2.block_count": 28,
        "qwen2.embedding_length": 3584,
        "qwen2.feed_forward_length": 18944,
        "qwen2.attention.head_count": 28,
        "qwen2.attention.head_count_kv": 4,
    }
    metadata.update({f"qwen2.{key}": value for key, value in changes.items()})
    return GgufFile((Path("model.gguf"),), metadata, weights)


def terms(sequences: int) -> Terms:
    return Terms(sequences)


def memory(gib: float) -> Memory:
    return Memory(int(gib * GIB), "free RAM")


def test_with_plenty_of_memory_it_is_what_the_model_was_trained_for() -> None:
    size = plan(model(), 0, terms(16), memory(32))
    assert size.context_length == size.cells == 32_768
    kv = 28 * 4 * (128 + 128) * 2 * 32_768
    assert 4 * GIB + kv < size.needed < 4 * GIB + 1.2 * kv + 0.5 * GIB


def test_less_memory_means_less_context_and_some_is_left_for_others() -> None:
    size = plan(model(trained=131_072), 0, terms(16), memory(8))
    assert 4_096 < size.context_length < 131_072
    assert size.context_length % 256 == 0
    assert size.needed <= 0.8 * 8 * GIB


def test_a_small_model_gets_cells_that_requests_share() -> None:
    small = model(weights=3 << 20, trained=2048, block_count=4, embedding_length=192, feed_forward_length=512)
    size = plan(small, 0, terms(16), memory(8))
    assert (size.context_length, size.cells) == (2048, 16_384)
    assert plan(small, 0, terms(2), memory(8)).cells == 4096


def test_the_users_number_of_cells_is_taken() -> None:
    assert plan(model(), 8192, terms(16), memory(16)).cells == 8192
    assert plan(model(), 8192, terms(16), memory(16)).context_length == 8192
    more = plan(model(trained=4096), 16_384, terms(16), memory(16))
    assert (more.context_length, more.cells) == (4096, 16_384)


def test_too_large_is_told_with_the_numbers() -> None:
    with pytest.raises(SwarmError) as caught:
        plan(model(), 0, terms(16), Memory(3 * GIB, "the container's memory limit"))
    error = caught.value
    assert error.reason is Reason.MODEL_TOO_LARGE
    for words in ("weights 4.0", "there are 3.0 GiB", "the container's memory limit", "smaller model"):
        assert words in error.message


def test_a_context_too_large_names_one_that_fits() -> None:
    with pytest.raises(SwarmError) as caught:
        plan(model(trained=131_072), 131_072, terms(16), memory(8))
    message = caught.value.message
    assert "context of 131072" in message
    fits = int(message.split("SWARM_CONTEXT=")[1].rstrip("."))
    assert plan(model(trained=131_072), fits, terms(16), memory(8)).cells == fits


def test_layers_without_attention_cost_nothing() -> None:
    hybrid = model(trained=262_144, **{"attention.head_count_kv": (0, 0, 0, 4) * 7})
    assert plan(hybrid, 0, terms(16), memory(8)).context_length > plan(
        model(trained=262_144), 0, terms(16), memory(8)
    ).context_length * 3  # fmt: skip


def test_head_sizes_of_their_own_count() -> None:
    wide = model(**{"attention.key_length": 256, "attention.value_length": 256})
    plain = plan(model(), 16_384, terms(16), memory(32))
    assert plan(wide, 16_384, terms(16), memory(32)).needed > plain.needed


def test_a_key_that_is_missing_is_named() -> None:
    broken = GgufFile((Path("model.gguf"),), {"general.architecture": "qwen2"}, GIB)
    with pytest.raises(SwarmError) as caught:
        plan(broken, 0, terms(16), memory(8))
    assert caught.value.reason is Reason.MODEL_FILE_INVALID
    assert "qwen2.context_length" in caught.value.message


@given(
    weights=st.integers(1 << 20, 64 * GIB),
    trained=st.integers(256, 1 << 20),
    context=st.one_of(st.just(0), st.integers(256, 1 << 20)),
    sequences=st.integers(1, 256),
    available=st.integers(0, 128 * GIB),
)
def test_what_is_planned_always_fits(
    weights: int, trained: int, context: int, sequences: int, available: int
) -> None:
    try:
        size = plan(model(weights, trained), context, terms(sequences), Memory(available, "free RAM"))
    except SwarmError as error:
        refusal = error.reason
    else:
        refusal = None
        assert size.needed <= available
        assert 0 < size.context_length <= min(size.cells, trained)
        assert context == 0 or size.cells == context
    assert refusal in (None, Reason.MODEL_TOO_LARGE)


def test_a_number_of_layers_that_cannot_be_costs_nothing() -> None:
    with pytest.raises(SwarmError, match="16777244 layers") as caught:
        plan(model(block_count=28 | 1 << 24), 0, terms(16), memory(8))
    assert caught.value.reason is Reason.MODEL_FILE_INVALID

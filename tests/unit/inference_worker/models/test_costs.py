"""What a model costs: windows, states, KV types, logits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from services.inference_worker.backends.llama_cpp.options import KvType
from services.inference_worker.models import gguf_file
from services.inference_worker.models.costs import Terms, costs, vocabulary_size
from services.inference_worker.models.gguf_file import ArraySize, GgufFile, Value
from tests.fakes import tiny_kinds

CELLS = 32_768
TERMS = Terms(sequences=16)
# One layer's keys and values of one token, f16.
LAYER = 8 * (128 + 128) * 2


def model(architecture: str = "qwen2", **changes: Value) -> GgufFile:
    """24 layers of 8 KV heads of 128 elements each."""
    metadata: dict[str, Value] = {
        f"{architecture}.block_count": 24,
        f"{architecture}.embedding_length": 4096,
        f"{architecture}.feed_forward_length": 11_008,
        f"{architecture}.attention.head_count": 32,
        f"{architecture}.attention.head_count_kv": 8,
    }
    metadata.update({f"{architecture}.{name}": value for name, value in changes.items()})
    metadata["general.architecture"] = architecture
    return GgufFile((Path("model.gguf"),), metadata, 1 << 30)


def kv(file: GgufFile, terms: Terms = TERMS, cells: int = CELLS) -> int:
    """Bytes of keys and values alone."""
    mask = 2 * terms.micro_batch * cells
    return costs(file, terms).kv(cells) - mask


def test_a_cell_of_every_layer() -> None:
    assert kv(model()) == 24 * LAYER * CELLS


@pytest.mark.parametrize(("kv_type", "part"), [(KvType.Q8_0, 34 / 64), (KvType.Q4_0, 18 / 64)])
def test_kv_types(kv_type: KvType, part: float) -> None:
    assert kv(model(), replace(TERMS, kv_type=kv_type)) == pytest.approx(kv(model()) * part, rel=0.001)


@pytest.mark.parametrize(
    ("architecture", "pattern", "windowed"),
    [("gpt-oss", None, 12), ("gemma3", None, 20), ("gemma3", 2, 12), ("gemma3", (True, False) * 12, 12)],
)
def test_layers_with_a_window_have_few_cells(architecture: str, pattern: Value | None, windowed: int) -> None:
    changes: dict[str, Value] = {"attention.sliding_window": 128}
    if pattern is not None:
        changes["attention.sliding_window_pattern"] = pattern
    file = model(architecture, **changes)
    window_cells = 128 * 16 + 512
    expected = LAYER * ((24 - windowed) * CELLS + windowed * window_cells)
    assert costs(file, TERMS).kv(CELLS) == pytest.approx(expected, rel=0.1)
    # Never more cells than there are in all.
    assert costs(file, TERMS).kv(256) == pytest.approx(24 * LAYER * 256, rel=0.1)


def test_a_window_of_an_architecture_that_is_not_known_counts_as_seeing_all() -> None:
    assert kv(model("newcomer", **{"attention.sliding_window": 128})) == kv(model("newcomer"))


def test_a_recurrent_model_has_no_cells_but_a_state_for_each_sequence() -> None:
    file = model("mamba", **{
        "attention.head_count": 0, "feed_forward_length": 0, "ssm.inner_size": 8192, "ssm.state_size": 16,
        "ssm.conv_kernel": 4,
    })  # fmt: skip
    assert costs(file, TERMS).kv(CELLS) == 0
    state = 24 * 4 * (8192 * 16 + 3 * 8192)
    more = costs(file, replace(TERMS, sequences=17)).fixed - costs(file, TERMS).fixed
    assert more == state


def test_a_hybrid_has_both() -> None:
    file = model("qwen3next", **{"ssm.inner_size": 4096, "ssm.state_size": 128, "ssm.group_count": 16})
    assert kv(file) == 6 * LAYER * CELLS
    more = costs(file, replace(TERMS, sequences=17)).fixed - costs(file, TERMS).fixed
    assert more == 18 * 4 * 4096 * 128


def test_rows_of_logits_count() -> None:
    file = model()
    file = replace(file, metadata={**file.metadata, "tokenizer.ggml.tokens": ArraySize(151_936)})
    assert vocabulary_size(file) == 151_936
    more = costs(file, replace(TERMS, outputs=80)).fixed - costs(file, TERMS).fixed
    assert more == (80 - 16) * 151_936 * 4 * 2


def test_without_flash_attention_the_scores_are_laid_out() -> None:
    more = costs(model(), replace(TERMS, flash_attention=False)).kv(CELLS) - costs(model(), TERMS).kv(CELLS)
    assert more == (32 * 4 + 2) * 512 * CELLS


def test_smaller_micro_batches_take_less() -> None:
    assert costs(model(), replace(TERMS, micro_batch=128)).fixed < costs(model(), TERMS).fixed


@pytest.mark.parametrize("file", [model(), model("gpt-oss", **{"attention.sliding_window": 128})])
def test_cells_within_a_budget_fit_and_one_step_more_does_not(file: GgufFile) -> None:
    found = costs(file, TERMS)
    for budget in (0, found.total(0), found.total(256), 3 << 30, 7 << 30, 100 << 30):
        cells = found.cells_within(budget)
        assert cells % 256 == 0
        assert cells == 0 or found.total(cells) <= budget
        assert found.total(cells + 256) > budget


def test_a_recurrent_model_is_not_bounded_by_cells() -> None:
    assert costs(model("mamba", **{"attention.head_count": 0}), TERMS).cells_within(4 << 30) > 1 << 20


@pytest.mark.parametrize("kind", list(tiny_kinds.Kind))
def test_every_kind_of_file_can_be_counted(tmp_path: Path, kind: tiny_kinds.Kind) -> None:
    file = gguf_file.read(tiny_kinds.write(tmp_path / "tiny.gguf", kind))
    assert costs(file, TERMS).total(512) > file.tensor_bytes

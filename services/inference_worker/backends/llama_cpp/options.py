"""How a model is to be loaded."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class KvType(StrEnum):
    """How keys and values are stored. The quantised ones need flash attention."""

    F16 = "f16"
    Q8_0 = "q8_0"
    Q4_0 = "q4_0"


# Bytes of one element, with the scales of its block.
KV_BYTES = {KvType.F16: 2.0, KvType.Q8_0: 34 / 32, KvType.Q4_0: 18 / 32}
# Elements of a block of the quantised ones: heads must be a multiple of it.
KV_BLOCK = 32

# Verifying drafts wants logits of several rows of one sequence; so many beyond one for each sequence.
SPARE_OUTPUTS = 64


# llama.cpp rounds the cells of the sliding layers up to this.
_WINDOW_STEP = 256


def window_cells(window: int, cells: int, sequences: int, micro_batch: int) -> int:
    """Cells that llama.cpp gives layers which see `window` tokens, where the other layers have `cells`."""
    wanted = min(cells, window * sequences + micro_batch)
    return -(-wanted // _WINDOW_STEP) * _WINDOW_STEP


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """`gpu_layers` -1: all. `threads` and `batch` as in the settings.

    `micro_batch`: tokens of one graph. `outputs`: rows of one batch that may yield logits, 0: one for each
    sequence and SPARE_OUTPUTS. `flash_attention` None: where llama.cpp can. `content_hash`: of the model
    file, empty: saved states are good for this process alone. `extra`: whatever else of the caller saved
    states depend on. `mtp`: with the layers that predict further tokens, if the model has them.
    """

    path: Path
    cells: int
    sequences: int
    batch: int
    threads: int
    gpu_layers: int = -1
    micro_batch: int = 512
    outputs: int = 0
    flash_attention: bool | None = None
    kv_type: KvType = KvType.F16
    content_hash: str = ""
    extra: str = ""
    mtp: bool = False

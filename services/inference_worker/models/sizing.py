"""Does a model fit, and how long a context and how many KV cells can it have?"""

from __future__ import annotations

from dataclasses import dataclass

from services.common.errors import Reason, SwarmError
from services.inference_worker.models.gguf_file import GgufFile, invalid_file
from services.inference_worker.models.memory import Memory

# llama.cpp rounds the number of cells up to this.
_CELLS_STEP = 256
# A chosen context leaves this part of the memory to everybody else.
_SHARE = 0.8
# Less than this (or than the model was trained for) is of no use to a coding agent; better to refuse.
_LEAST_CONTEXT = 4_096
# Cells that requests share where the memory is cheap, so that short contexts do not queue for one another.
_SHARED_CELLS = 16_384
_BYTES_PER_ELEMENT = 2  # KV is kept as f16
_MICRO_BATCH = 512
_PROCESS = 128 << 20
# More is damage, and would be counted layer by layer.
_MOST_LAYERS = 10_000

_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Size:
    """`context_length` tokens at most for one candidate; `cells` for all together; `needed` bytes."""

    context_length: int
    cells: int
    needed: int


@dataclass(frozen=True, slots=True)
class _Costs:
    weights: int
    fixed: int
    per_cell: int

    def total(self, cells: int) -> int:
        return self.weights + self.fixed + self.per_cell * cells

    def cells_within(self, budget: int) -> int:
        cells = (budget - self.weights - self.fixed) // self.per_cell
        return max(0, cells) // _CELLS_STEP * _CELLS_STEP


def plan(file: GgufFile, context: int, sequences: int, memory: Memory) -> Size:
    """`context` is the number of cells that the user wants, 0: as model and memory allow.

    Raises SwarmError MODEL_TOO_LARGE with the numbers, MODEL_FILE_INVALID when the metadata lacks what
    must be known.
    """
    trained = file.number("context_length")
    costs = _costs(file)
    if context:
        if costs.total(context) > memory.bytes:
            raise _too_large(file, costs, context, memory)
        return Size(min(context, trained), context, costs.total(context))

    least = min(trained, _LEAST_CONTEXT)
    if costs.total(least) > memory.bytes:
        raise _too_large(file, costs, least, memory)
    comfortable = costs.cells_within(int(memory.bytes * _SHARE))
    length = max(least, min(trained, comfortable))
    cells = max(length, min(comfortable, sequences * length, _SHARED_CELLS))
    return Size(length, cells, costs.total(cells))


def _costs(file: GgufFile) -> _Costs:
    layers = file.number("block_count")
    if layers > _MOST_LAYERS:
        raise invalid_file(file.path, f"its header is damaged: {layers} layers")
    embedding = file.number("embedding_length")
    heads = file.number("attention.head_count", default=1)
    head_size = max(1, embedding // heads)
    key = file.number("attention.key_length", default=head_size)
    value = file.number("attention.value_length", default=head_size)
    kv_heads = file.per_layer("attention.head_count_kv", layers, default=heads)
    feed_forward = file.number("feed_forward_length", default=4 * embedding)
    activations = _MICRO_BATCH * 4 * (8 * embedding + 3 * feed_forward)
    attention_mask = _MICRO_BATCH * 4
    return _Costs(
        weights=file.tensor_bytes,
        fixed=_PROCESS + activations,
        per_cell=sum(kv_heads) * (key + value) * _BYTES_PER_ELEMENT + attention_mask,
    )


def _too_large(file: GgufFile, costs: _Costs, cells: int, memory: Memory) -> SwarmError:
    most = costs.cells_within(memory.bytes)
    hint = (
        f"A context of up to {most} would fit: set SWARM_CONTEXT={most}."
        if most >= _CELLS_STEP
        else "A smaller model or quantisation is needed."
    )
    return SwarmError(
        Reason.MODEL_TOO_LARGE,
        f"{file.path.name} does not fit: it needs {costs.total(cells) / _GIB:.1f} GiB "
        f"(weights {costs.weights / _GIB:.1f}, context of {cells} tokens "
        f"{costs.per_cell * cells / _GIB:.1f}, working memory {costs.fixed / _GIB:.1f}), but there are "
        f"{memory.bytes / _GIB:.1f} GiB ({memory.source}). {hint}",
        details={"needed": str(costs.total(cells)), "available": str(memory.bytes)},
    )

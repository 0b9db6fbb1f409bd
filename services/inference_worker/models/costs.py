"""What a model costs in memory: weights, KV cells, recurrent states, rows of logits, working memory."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from services.inference_worker.backends.llama_cpp.options import KV_BYTES, KvType, window_cells
from services.inference_worker.models.gguf_file import ArraySize, GgufFile, invalid_file

# llama.cpp rounds the number of cells up to this.
CELLS_STEP = 256
_PROCESS = 128 << 20
# More is damage, and would be counted layer by layer.
_MOST_LAYERS = 10_000
_MOST_CELLS = 1 << 26
_FLOAT = 4

# The last of so many layers sees all tokens, the others a window, where the file does not tell.
_WINDOW_PATTERNS = {
    "afmoe": 4,
    "cohere2": 4,
    "exaone-moe": 4,
    "exaone4": 4,
    "gemma2": 2,
    "gemma3": 6,
    "gemma3n": 5,
    "gpt-oss": 2,
    "llama4": 4,
    "mellum": 4,
    "olmo2": 4,
    "plamo3": 8,
}
# Linear attention everywhere but in the last of so many layers, where the file does not tell.
_LINEAR_PATTERNS = {"qwen3next": 4, "qwen35": 4, "qwen35moe": 4}
# Windows that llama.cpp has from the architecture alone.
_WINDOWS = {"llama4": 8_192, "gemma2": 4_096}


@dataclass(frozen=True, slots=True)
class Terms:
    """How the model is run. `outputs`: rows of logits that there is room for, 0: one for each sequence."""

    sequences: int
    micro_batch: int = 512
    kv_type: KvType = KvType.F16
    flash_attention: bool = True
    outputs: int = 0


@dataclass(frozen=True, slots=True)
class Costs:
    """Bytes. `per_cell` of the layers that see all, `per_window_cell` of those that see `window` tokens."""

    weights: int
    fixed: int
    per_cell: float
    per_window_cell: float
    window: int
    terms: Terms

    def kv(self, cells: int) -> int:
        windows = 0.0
        if self.window:
            terms = self.terms
            # One sequence more: the backend's own.
            windows = self.per_window_cell * window_cells(
                self.window, cells, terms.sequences + 1, terms.micro_batch
            )
        return int(self.per_cell * cells + windows)

    def total(self, cells: int) -> int:
        return self.weights + self.fixed + self.kv(cells)

    def cells_within(self, budget: int) -> int:
        steps = range(0, _MOST_CELLS, CELLS_STEP)
        return max(0, bisect_right(steps, budget, key=self.total) - 1) * CELLS_STEP


def costs(file: GgufFile, terms: Terms) -> Costs:
    """Raises SwarmError MODEL_FILE_INVALID when the metadata lacks what must be known."""
    layers = file.number("block_count")
    if layers > _MOST_LAYERS:
        raise invalid_file(file.path, f"its header is damaged: {layers} layers")
    embedding = file.number("embedding_length")
    heads = max(1, file.number("attention.head_count", default=1, least=0))
    feed_forward = file.number("feed_forward_length", default=4 * embedding, least=0)
    activations = terms.micro_batch * _FLOAT * (8 * embedding + 3 * feed_forward)
    # Once where the graph computes them, once where they are read.
    logits = 2 * _FLOAT * max(terms.outputs, terms.sequences) * vocabulary_size(file)
    # The mask; without flash attention it has twice the width, and the scores of all heads are laid out.
    row = 2 if terms.flash_attention else _FLOAT * (1 + heads)
    mask = 0 if _recurrent(file) else terms.micro_batch * row
    full, windowed, window = _attention(file, layers, max(1, embedding // heads), heads)
    element = KV_BYTES[terms.kv_type]
    return Costs(
        weights=file.tensor_bytes,
        fixed=_PROCESS + activations + logits + _states(file, layers, embedding) * terms.sequences,
        per_cell=full * element + mask,
        per_window_cell=windowed * element + mask,
        window=window,
        terms=terms,
    )


def vocabulary_size(file: GgufFile) -> int:
    """0 when the file does not tell."""
    tokens = file.metadata.get("tokenizer.ggml.tokens")
    if isinstance(tokens, ArraySize):
        return tokens.length
    return len(tokens) if isinstance(tokens, tuple) else 0


def _attention(file: GgufFile, layers: int, head_size: int, heads: int) -> tuple[int, int, int]:
    """Elements of one cell in the layers that see all and in those with a window, and that window."""
    if _recurrent(file):
        return 0, 0, 0
    key = file.number("attention.key_length", default=head_size)
    value = file.number("attention.value_length", default=head_size)
    kv_heads = file.per_layer("attention.head_count_kv", layers, default=heads)
    kv_heads = tuple(kv_heads[layer % len(kv_heads)] for layer in range(layers))
    if interval := _linear_interval(file):
        kv_heads = tuple(
            count if layer % interval == interval - 1 else 0 for layer, count in enumerate(kv_heads)
        )
    slides = _sliding(file, layers)
    window = file.number("attention.sliding_window", default=_WINDOWS.get(file.architecture, 0), least=0)
    if not window or not any(slides):
        return sum(kv_heads) * (key + value), 0, 0
    window = _WINDOWS["llama4"] if file.architecture == "llama4" else window
    key_there = file.number("attention.key_length_swa", default=key)
    value_there = file.number("attention.value_length_swa", default=value)
    full = sum(count for count, slide in zip(kv_heads, slides, strict=True) if not slide)
    windowed = sum(count for count, slide in zip(kv_heads, slides, strict=True) if slide)
    return full * (key + value), windowed * (key_there + value_there), window


def _sliding(file: GgufFile, layers: int) -> tuple[bool, ...]:
    """Which layers have a window. What is not known counts as seeing all, which costs more."""
    told = file.metadata.get(f"{file.architecture}.attention.sliding_window_pattern")
    if isinstance(told, tuple) and len(told) >= layers:
        return tuple(bool(each) for each in told[:layers])
    pattern = told if isinstance(told, int) and told > 0 else _WINDOW_PATTERNS.get(file.architecture)
    # Hybrids keep their windows whole.
    if pattern is None or _state_elements(file, file.number("embedding_length")):
        return (False,) * layers
    return tuple(layer % pattern < pattern - 1 for layer in range(layers))


def _recurrent(file: GgufFile) -> bool:
    """Whether no layer has attention."""
    return file.number("attention.head_count", default=1, least=0) == 0


def _linear_interval(file: GgufFile) -> int:
    default = _LINEAR_PATTERNS.get(file.architecture, 0)
    return file.number("full_attention_interval", default=default, least=0)


def _states(file: GgufFile, layers: int, embedding: int) -> int:
    """Bytes of the recurrent states of one sequence; where layers are not told apart, as if all had one."""
    kv_heads = file.metadata.get(f"{file.architecture}.attention.head_count_kv")
    count = layers
    if isinstance(kv_heads, tuple):
        count = sum(not each for each in kv_heads) or layers
    if interval := _linear_interval(file):
        count = layers - layers // interval
    return _FLOAT * count * _state_elements(file, embedding)


def _state_elements(file: GgufFile, embedding: int) -> int:
    """Of one layer and sequence, as llama.cpp counts them; 0: no layer has a state."""
    if head := file.number("wkv.head_size", default=0, least=0):
        return embedding * (head + file.number("token_shift_count", default=2, least=0))
    if cache := file.number("shortconv.l_cache", default=0, least=0):
        return embedding * (cache - 1)
    inner = file.number("ssm.inner_size", default=0, least=0)
    size = file.number("ssm.state_size", default=0, least=0)
    groups = file.number("ssm.group_count", default=0, least=0)
    kernel = file.number("ssm.conv_kernel", default=1, least=0)
    return max(0, kernel - 1) * (inner + 2 * groups * size) + size * inner

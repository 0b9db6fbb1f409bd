"""The benchmarks' model: 0.5B in qwen2's shape, Q4_0, written by hand, in the cache.

It computes what any model of its shape computes and says made-up words. Three layers are wired so that it
really copies, as language models do: a head of layer 0 hands every position the code of the word before it; a
head of layer 1 looks for the current word among those and passes on what followed it then. Where the current
word has not been seen before, the answer follows from the last two words, as good as drawn by lot (layer 2).
Everything else is random and writes nothing.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType as Kind
from gguf import quants

from services.cli.bootstrap import cache_folder
from tests.bench import words

Array = npt.NDArray[np.float32]

CONTEXT = 32_768
# An answer goes on from the first word of the request: what followed it there, or what the lot says.
TEMPLATE = (
    "{%- set ns = namespace(cue='') %}{%- for message in messages %}"
    "{%- if message.role == 'user' %}{%- set ns.cue = ' ' + message.content.split()[0] %}{%- endif %}"
    "{{- '<|im_start|>' + message.role + '\n' }}"
    "{%- if message.role == 'assistant' %}{{- ns.cue }}{%- endif %}"
    "{{- message.content + '<|im_end|>' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' + ns.cue }}{%- endif %}"
)


@dataclass(frozen=True, slots=True)
class Shape:
    layers: int = 24
    width: int = 896
    heads: int = 14
    kv_heads: int = 2
    feed_forward: int = 4864

    @property
    def head(self) -> int:
        return self.width // self.heads

    @property
    def kv(self) -> int:
        return self.head * self.kv_heads


SHAPE = Shape()
# Smaller for the tests; the wiring needs this width, these heads and three layers.
SMALL = Shape(layers=3, feed_forward=64)

# A position's room: the word's code, the code of the word before it, the mark of a turn's start, then noise.
_CODE = 128
_BEFORE = slice(128, 256)
_MARK = 256
_NOISE = slice(288, None)
_ROPE_BASE = 1e12
# Rotary pairs that turn fast tell neighbours apart; the rest hardly turn in 30,000 tokens and carry codes.
_FAST_PAIRS = 12
_NEIGHBOUR = 16.0
_MATCH = 10**0.5
# The start of a turn draws the attention of a word that has no match: it says nothing.
_SINK = 16.7
# How loud what followed is, against the word itself and against the word before it.
_COPY, _LOT = 4.0, 1.5
_SHARPNESS = 0.1
_NOISE_LOUD, _NOISE_SOFT = 0.52, 0.25
# Rows of the embedding that are made at a time.
_SLAB = 8_192


class _Writer:
    """Adds tensors to a file, matrices quantised."""

    def __init__(self, path: Path, shape: Shape, random: np.random.Generator) -> None:
        self.shape = shape
        self.random = random
        self.file = gguf.GGUFWriter(str(path), "qwen2")
        self._drawn: dict[tuple[int, int], npt.NDArray[np.uint8]] = {}

    def vector(self, name: str, values: npt.NDArray[np.floating[Any]]) -> None:
        self.file.add_tensor(name, values.astype(np.float32))

    def matrix(self, name: str, values: Array) -> None:
        self.file.add_tensor(name, quants.quantize(values, Kind.Q4_0), raw_dtype=Kind.Q4_0)

    def random_matrix(self, name: str, rows: int, columns: int) -> None:
        """Random weights; matrices of one size share their values, but not their place in the file."""
        if (rows, columns) not in self._drawn:
            self._drawn[rows, columns] = quants.quantize(self.noise(rows, columns, 0.02), Kind.Q4_0)
        self.file.add_tensor(name, self._drawn[rows, columns].copy(), raw_dtype=Kind.Q4_0)

    def noise(self, rows: int, columns: int, deviation: float) -> Array:
        return self.random.standard_normal((rows, columns), np.float32) * np.float32(deviation)


def write(path: Path, shape: Shape = SHAPE) -> Path:
    """Writes the model to `path`."""
    writer = _Writer(path, shape, np.random.default_rng(1))
    _metadata(writer.file, shape)
    signs = writer.random.choice(np.array([-1, 1], np.float32), _CODE)
    writer.file.add_tensor("token_embd.weight", _embedding(writer), raw_dtype=Kind.Q8_0)
    # Only codes are read, each bit with a sign of its own: a word does not speak for itself, but for another.
    read = np.zeros(shape.width, np.float32)
    read[:_CODE] = signs * _SHARPNESS
    writer.vector("output_norm.weight", read)
    for layer in range(shape.layers):
        _layer(writer, layer, signs)
    writer.file.write_header_to_file()
    writer.file.write_kv_data_to_file()
    writer.file.write_tensors_to_file()
    writer.file.close()
    return path


def _metadata(file: gguf.GGUFWriter, shape: Shape) -> None:
    known = words.vocabulary()
    file.add_name("bench-copying-0.5b")
    file.add_license("MIT")
    file.add_context_length(CONTEXT)
    file.add_embedding_length(shape.width)
    file.add_block_count(shape.layers)
    file.add_feed_forward_length(shape.feed_forward)
    file.add_head_count(shape.heads)
    file.add_head_count_kv(shape.kv_heads)
    file.add_rope_freq_base(_ROPE_BASE)
    file.add_layer_norm_rms_eps(1e-6)
    file.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_0)
    file.add_quantization_version(2)
    file.add_tokenizer_model("gpt2")
    file.add_tokenizer_pre("qwen2")
    file.add_token_list(list(known.tokens))
    ordinary = len(known.tokens) - len(words.SPECIAL)
    file.add_token_types([gguf.TokenType.NORMAL] * ordinary + [gguf.TokenType.CONTROL] * len(words.SPECIAL))
    file.add_token_merges(list(known.merges))
    file.add_bos_token_id(known.tokens.index(words.END_OF_TEXT))
    file.add_eos_token_id(known.tokens.index(words.TURN_END))
    file.add_pad_token_id(known.tokens.index(words.PAD))
    file.add_add_bos_token(False)
    file.add_chat_template(TEMPLATE)


def _embedding(writer: _Writer) -> npt.NDArray[np.uint8]:
    """Words with their blank have codes; nothing else is ever said or looked for.

    Quantised slab by slab: whole, it would take half a gigabyte.
    """
    tokens = words.vocabulary().tokens
    says = np.array([token.startswith(words.BLANK) and len(token) > 1 for token in tokens])
    # All rows are equally long, so that the layers' normalisation does the same to each.
    loudness = np.where(says, _NOISE_SOFT, _NOISE_LOUD).astype(np.float32)
    noise = writer.noise(_SLAB, writer.shape.width - _NOISE.start, 1.0)
    start = tokens.index(words.TURN_START)
    loudness[start] = _NOISE_SOFT
    slabs = []
    for first in range(0, len(tokens), _SLAB):
        says_here = says[first : first + _SLAB]
        rows = np.zeros((len(says_here), writer.shape.width), np.float32)
        bits = writer.random.integers(0, 2, (int(says_here.sum()), _CODE))
        rows[says_here, :_CODE] = 2 * bits - 1
        rows[:, _NOISE] = noise[: len(rows)] * loudness[first : first + _SLAB, None]
        if first <= start < first + _SLAB:
            rows[start - first, _MARK] = _CODE**0.5
        slabs.append(quants.quantize(rows, Kind.Q8_0))
    return np.concatenate(slabs)


def _layer(writer: _Writer, layer: int, signs: Array) -> None:
    shape, block = writer.shape, f"blk.{layer}."
    wiring: Callable[[Shape, Array], _Attention] | None = {
        0: _neighbour_heads, 1: _matching_heads, 2: _lot_heads,
    }.get(layer)  # fmt: skip
    writer.vector(f"{block}attn_norm.weight", np.ones(shape.width, np.float32))
    writer.vector(f"{block}ffn_norm.weight", np.ones(shape.width, np.float32))
    if wiring is not None:
        wired = wiring(shape, signs)
        for name, weights, bias in (
            ("q", wired.q, wired.q_bias), ("k", wired.k, wired.k_bias), ("v", wired.v, np.zeros(shape.kv)),
        ):  # fmt: skip
            writer.matrix(f"{block}attn_{name}.weight", weights)
            writer.vector(f"{block}attn_{name}.bias", bias)
        writer.matrix(f"{block}attn_output.weight", wired.output)
    else:
        for name, rows in (("q", shape.width), ("k", shape.kv), ("v", shape.kv)):
            writer.random_matrix(f"{block}attn_{name}.weight", rows, shape.width)
            writer.vector(f"{block}attn_{name}.bias", writer.noise(1, rows, 0.02)[0])
        writer.matrix(f"{block}attn_output.weight", np.zeros((shape.width, shape.width), np.float32))
    writer.random_matrix(f"{block}ffn_gate.weight", shape.feed_forward, shape.width)
    writer.random_matrix(f"{block}ffn_up.weight", shape.feed_forward, shape.width)
    writer.matrix(f"{block}ffn_down.weight", np.zeros((shape.width, shape.feed_forward), np.float32))


class _Attention:
    """The matrices of one layer's attention, all zero at first. Rows are outputs."""

    def __init__(self, shape: Shape) -> None:
        def zeros(*size: int) -> Array:
            return np.zeros(size, np.float32)

        self.q, self.q_bias = zeros(shape.width, shape.width), zeros(shape.width)
        self.k, self.k_bias = zeros(shape.kv, shape.width), zeros(shape.kv)
        self.v, self.output = zeros(shape.kv, shape.width), zeros(shape.width, shape.width)


def _starts(shape: Shape) -> list[tuple[int, int]]:
    """For each KV head: the first row of a query head that uses it, and its own first row."""
    group = shape.heads // shape.kv_heads
    return [(kv * group * shape.head, kv * shape.head) for kv in range(shape.kv_heads)]


def _scale(shape: Shape, words_held: int) -> float:
    """What normalisation multiplies a position with that holds so many words' codes."""
    noise = (shape.width - _NOISE.start) * _NOISE_SOFT**2
    return float((shape.width / (words_held * _CODE + noise)) ** 0.5)


def _attend_back(wired: _Attention, shape: Shape, distance: int) -> None:
    """Every position attends to the one so far before it, by rotation alone."""
    half = shape.head // 2
    angles = distance * _ROPE_BASE ** (-np.arange(_FAST_PAIRS) / half)
    for q, kv in _starts(shape):
        wired.q_bias[q : q + _FAST_PAIRS] = _NEIGHBOUR * np.cos(angles)
        wired.q_bias[q + half : q + half + _FAST_PAIRS] = -_NEIGHBOUR * np.sin(angles)
        wired.k_bias[kv : kv + _FAST_PAIRS] = _NEIGHBOUR


def _neighbour_heads(shape: Shape, signs: Array) -> _Attention:
    """Every position keeps the code of the word before it."""
    wired = _Attention(shape)
    _attend_back(wired, shape, 1)
    for q, kv in _starts(shape):
        for bit in range(shape.head):
            wired.v[kv + bit, kv + bit] = 1.0
            wired.output[_BEFORE.start + kv + bit, q + bit] = 1.0 / _scale(shape, 1)
    return wired


def _lot_heads(shape: Shape, signs: Array) -> _Attention:
    """The word before, its code turned round, is mixed into what is said next: no short cycles."""
    wired = _Attention(shape)
    _attend_back(wired, shape, 0)
    for q, kv in _starts(shape):
        for bit in range(shape.head):
            wired.v[kv + bit, _BEFORE.start + kv + bit] = 1.0
            wired.output[kv + (bit + 37) % shape.head, q + bit] = _LOT / _scale(shape, 2)
    return wired


def _matching_heads(shape: Shape, signs: Array) -> _Attention:
    """The current word looks for the position that followed it before, and says what stands there."""
    wired = _Attention(shape)
    half = shape.head // 2
    slow = [*range(_FAST_PAIRS, half), *range(half + _FAST_PAIRS, shape.head)]
    sink = half - 1
    bits = [place for place in slow if place != sink]
    scale = _scale(shape, 2)
    for q, kv in _starts(shape):
        for bit, place in enumerate(bits):
            wired.q[q + place, kv + bit] = _MATCH / scale
            wired.k[kv + place, _BEFORE.start + kv + bit] = _MATCH / scale
        wired.q_bias[q + sink] = _SINK
        wired.k[kv + sink, _MARK] = _SINK / (_CODE**0.5 * _scale(shape, 1))
        for bit in range(shape.head):
            wired.v[kv + bit, kv + bit] = 1.0
            wired.output[kv + bit, q + bit] = _COPY * signs[kv + bit] / scale
    return wired


def folder(environ: Mapping[str, str]) -> Path:
    return cache_folder(environ) / "bench" / "models"


def get(environ: Mapping[str, str], say: Callable[[str], None]) -> Path:
    """The model in the cache, written if it is not there. Its name changes with the sources that write it;
    what earlier ones wrote is removed."""
    sources = b"".join(Path(str(each)).read_bytes() for each in (__file__, words.__file__))
    path = folder(environ) / f"bench-0.5b-{hashlib.sha256(sources).hexdigest()[:12]}.gguf"
    if not path.exists():
        say(f"Writing the benchmarks' model {path}")
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part")
        write(partial)
        for outdated in path.parent.glob("bench-0.5b-*.gguf"):
            outdated.unlink()
        partial.replace(path)
    return path


if __name__ == "__main__":
    write(Path(sys.argv[1]), SMALL if "--small" in sys.argv else SHAPE)

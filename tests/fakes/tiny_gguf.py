"""Writes a tiny GGUF that llama.cpp can run: random weights, a byte-level vocabulary, a chat template.

The same seed gives the same file. It says nothing sensible, but it computes what any model computes.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

CONTEXT = 512
# Markup that templates and parsers look for; CONTROL tokens end or frame a turn, the others are text.
_CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_TEXT = ("<tool_call>", "</tool_call>", "<think>", "</think>")
VOCABULARY = 256 + len(_CONTROL) + len(_TEXT)

Tensor = npt.NDArray[np.float32]

CHATML = (
    "{%- if tools %}{{- '<|im_start|>system\n<tool_call> with \"arguments\"' }}"
    "{%- for tool in tools %}{{- '\n' + (tool | tojson) }}{%- endfor %}{{- '<|im_end|>\n' }}{%- endif %}"
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)


def _byte_tokens() -> list[str]:
    """The 256 bytes as byte-level BPE spells them: printable ones as they are, the others moved up."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    spelled, moved = {}, 0
    for byte in range(256):
        if byte in printable:
            spelled[byte] = chr(byte)
        else:
            spelled[byte] = chr(256 + moved)
            moved += 1
    return [spelled[byte] for byte in range(256)]


class Sketch:
    """A model in the making: metadata and random weights, by the names that llama.cpp knows."""

    embedding, layers, heads, kv_heads, feed_forward = 64, 2, 4, 2, 128
    kv = embedding // heads * kv_heads

    def __init__(
        self, path: Path, architecture: str, seed: int, template: str | None, context: int, layers: int = 2
    ) -> None:
        self._random = np.random.default_rng(seed)
        self._path = path
        self.layers = layers
        self.writer = gguf.GGUFWriter(str(path), architecture)
        self.writer.add_name("tiny")
        self.writer.add_context_length(context)
        self.writer.add_embedding_length(self.embedding)
        self.writer.add_block_count(layers)
        self.writer.add_feed_forward_length(self.feed_forward)
        self.writer.add_layer_norm_rms_eps(1e-6)
        self._vocabulary(template)

    def attention(self, kv_heads: list[int] | None = None) -> None:
        """Metadata of attention; `kv_heads` for each layer where they differ."""
        self.writer.add_head_count(self.heads)
        self.writer.add_head_count_kv(kv_heads or self.kv_heads)
        self.writer.add_rope_freq_base(10_000.0)

    def _vocabulary(self, template: str | None) -> None:
        tokens = [*_byte_tokens(), *_CONTROL, *_TEXT]
        types = (
            [gguf.TokenType.NORMAL] * 256
            + [gguf.TokenType.CONTROL] * len(_CONTROL)
            + [gguf.TokenType.USER_DEFINED] * len(_TEXT)
        )
        self.writer.add_tokenizer_model("gpt2")
        self.writer.add_tokenizer_pre("qwen2")
        self.writer.add_token_list(tokens)
        self.writer.add_token_types(types)
        # llama.cpp wants merges; one that joins two letters is enough.
        self.writer.add_token_merges(["a b"])
        self.writer.add_bos_token_id(tokens.index("<|endoftext|>"))
        self.writer.add_eos_token_id(tokens.index("<|im_end|>"))
        self.writer.add_add_bos_token(False)
        if template is not None:
            self.writer.add_chat_template(template)

    def values(self, *shape: int, scale: float = 0.3) -> Tensor:
        return (self._random.standard_normal(shape) * scale).astype(np.float32)

    def add(self, name: str, values: Tensor) -> None:
        self.writer.add_tensor(name, values)

    def matrix(self, name: str, *shape: int) -> None:
        """Random weights, the slowest dimension first."""
        self.add(f"{name}.weight", self.values(*shape))

    def norm(self, name: str, size: int | None = None) -> None:
        self.add(f"{name}.weight", np.ones(size or self.embedding, np.float32))

    def ends(self, last_norm: str = "output_norm") -> None:
        """What stands before and behind the layers."""
        self.matrix("token_embd", VOCABULARY, self.embedding)
        # Only small letters are likely: answers run to their limit and can be read.
        head = self.values(VOCABULARY, self.embedding)
        head[: ord("a")] = head[ord("z") + 1 :] = 0.0
        self.add("output.weight", head)
        self.norm(last_norm)

    def projections(self, block: str, bias: bool = False) -> None:
        for name, rows in (("q", self.embedding), ("k", self.kv), ("v", self.kv)):
            self.matrix(f"{block}attn_{name}", rows, self.embedding)
            if bias:
                self.add(f"{block}attn_{name}.bias", self.values(1, rows)[0])
        self.matrix(f"{block}attn_output", self.embedding, self.embedding)

    def dense_feed_forward(self, block: str) -> None:
        self.matrix(f"{block}ffn_gate", self.feed_forward, self.embedding)
        self.matrix(f"{block}ffn_up", self.feed_forward, self.embedding)
        self.matrix(f"{block}ffn_down", self.embedding, self.feed_forward)

    def finish(self) -> Path:
        self.writer.write_header_to_file()
        self.writer.write_kv_data_to_file()
        self.writer.write_tensors_to_file()
        self.writer.close()
        return self._path


def write(path: Path, seed: int = 1, template: str | None = CHATML, context: int = CONTEXT) -> Path:
    """A model of `context` tokens, about 0.4 MB; `template` None: without a chat template."""
    model = Sketch(path, "qwen2", seed, template, context)
    model.attention()
    model.ends()
    for layer in range(model.layers):
        block = f"blk.{layer}."
        model.norm(f"{block}attn_norm")
        model.norm(f"{block}ffn_norm")
        model.projections(block, bias=True)
        model.dense_feed_forward(block)
    return model.finish()

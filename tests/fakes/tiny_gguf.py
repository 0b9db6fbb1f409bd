"""Writes a tiny GGUF that llama.cpp can run: random weights, a byte-level vocabulary, a chat template.

The same seed gives the same file. It says nothing sensible, but it computes what any model computes.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

CONTEXT = 512
_EMBEDDING = 64
_LAYERS = 2
_HEADS = 4
_KV_HEADS = 2
_FEED_FORWARD = 128
# Markup that templates and parsers look for; CONTROL tokens end or frame a turn, the others are text.
_CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_TEXT = ("<tool_call>", "</tool_call>", "<think>", "</think>")

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


def write(path: Path, seed: int = 1, template: str | None = CHATML, context: int = CONTEXT) -> Path:
    """A model of `context` tokens, about 0.4 MB; `template` None: without a chat template."""
    random = np.random.default_rng(seed)
    tokens = [*_byte_tokens(), *_CONTROL, *_TEXT]
    types = (
        [gguf.TokenType.NORMAL] * 256
        + [gguf.TokenType.CONTROL] * len(_CONTROL)
        + [gguf.TokenType.USER_DEFINED] * len(_TEXT)
    )
    writer = gguf.GGUFWriter(str(path), "qwen2")
    writer.add_name("tiny")
    writer.add_context_length(context)
    writer.add_embedding_length(_EMBEDDING)
    writer.add_block_count(_LAYERS)
    writer.add_feed_forward_length(_FEED_FORWARD)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_KV_HEADS)
    writer.add_rope_freq_base(10_000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    # llama.cpp wants merges; one that joins two letters is enough.
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(tokens.index("<|endoftext|>"))
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_add_bos_token(False)
    if template is not None:
        writer.add_chat_template(template)

    def matrix(rows: int, columns: int) -> npt.NDArray[np.float32]:
        return (random.standard_normal((rows, columns)) * 0.3).astype(np.float32)

    def ones(size: int) -> npt.NDArray[np.float32]:
        return np.ones(size, np.float32)

    kv = _EMBEDDING // _HEADS * _KV_HEADS
    embedding = matrix(len(tokens), _EMBEDDING)
    # Only small letters are likely: answers run to their limit and can be read.
    head = matrix(len(tokens), _EMBEDDING)
    head[: ord("a")] = head[ord("z") + 1 :] = 0.0
    writer.add_tensor("token_embd.weight", embedding)
    writer.add_tensor("output.weight", head)
    writer.add_tensor("output_norm.weight", ones(_EMBEDDING))
    for layer in range(_LAYERS):
        block = f"blk.{layer}."
        writer.add_tensor(f"{block}attn_norm.weight", ones(_EMBEDDING))
        writer.add_tensor(f"{block}ffn_norm.weight", ones(_EMBEDDING))
        for name, rows in (("q", _EMBEDDING), ("k", kv), ("v", kv)):
            writer.add_tensor(f"{block}attn_{name}.weight", matrix(rows, _EMBEDDING))
            writer.add_tensor(f"{block}attn_{name}.bias", matrix(1, rows)[0])
        writer.add_tensor(f"{block}attn_output.weight", matrix(_EMBEDDING, _EMBEDDING))
        writer.add_tensor(f"{block}ffn_gate.weight", matrix(_FEED_FORWARD, _EMBEDDING))
        writer.add_tensor(f"{block}ffn_up.weight", matrix(_FEED_FORWARD, _EMBEDDING))
        writer.add_tensor(f"{block}ffn_down.weight", matrix(_EMBEDDING, _FEED_FORWARD))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path

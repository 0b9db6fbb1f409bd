"""Writes a checkpoint as a GGUF for llama.cpp: ``python -m deploy.built_in_model.export CHECKPOINT OUT``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Quantization
from gguf import LlamaFileType, quants

from deploy.built_in_model.model import ModelConfig
from deploy.built_in_model.tokenizer import FILE as TOKENIZER

TEMPLATE = Path(__file__).parent / "template.jinja"
KINDS = {
    "f32": (Quantization.F32, LlamaFileType.ALL_F32),
    "f16": (Quantization.F16, LlamaFileType.MOSTLY_F16),
    "q8_0": (Quantization.Q8_0, LlamaFileType.MOSTLY_Q8_0),
}
END = "<|im_end|>"
PAD = "<|endoftext|>"


def add_sizes(writer: gguf.GGUFWriter, config: ModelConfig) -> None:
    """The architecture's metadata."""
    writer.add_block_count(config.layers)
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.width)
    writer.add_feed_forward_length(config.feed_forward)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.norm_epsilon)
    writer.add_rope_freq_base(config.rope_base)
    writer.add_vocab_size(config.vocabulary)


def add_tokenizer(writer: gguf.GGUFWriter, size: int) -> None:
    """Vocabulary, merges, special tokens and the chat template; raises ValueError when an id has no token."""
    described = json.loads(TOKENIZER.read_text(encoding="utf-8"))
    tokens: list[str | None] = [None] * size
    kinds = [gguf.TokenType.NORMAL] * size
    for token, number in described["model"]["vocab"].items():
        tokens[number] = token
    for added in described["added_tokens"]:
        tokens[added["id"]] = added["content"]
        kinds[added["id"]] = gguf.TokenType.CONTROL if added["special"] else gguf.TokenType.USER_DEFINED
    if None in tokens:
        raise ValueError(f"token id {tokens.index(None)} of {size} has no token in {TOKENIZER.name}")
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in described["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("deepseek-coder")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_eos_token_id(tokens.index(END))
    writer.add_eot_token_id(tokens.index(END))
    writer.add_pad_token_id(tokens.index(PAD))
    writer.add_bos_token_id(tokens.index(PAD))
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_chat_template(TEMPLATE.read_text(encoding="utf-8"))


def tensors(state: dict[str, torch.Tensor], config: ModelConfig) -> dict[str, np.ndarray]:
    """The weights under llama.cpp's names, fp32; its half-split rotary order is the one of training."""
    out = {"token_embd.weight": state["embedding"], "output_norm.weight": state["final_norm"]}
    for index in range(config.layers):
        source, target = f"blocks.{index}.", f"blk.{index}."
        for name, ours in {
            "attn_norm": "attention_norm",
            "ffn_norm": "feed_forward_norm",
            "attn_q_norm": "query_norm",
            "attn_k_norm": "key_norm",
            "attn_output": "attention_out",
            "ffn_down": "down",
        }.items():
            out[f"{target}{name}.weight"] = state[source + ours]
        for name, part in zip(("attn_q", "attn_k", "attn_v"), state[source + "qkv"], strict=True):
            out[f"{target}{name}.weight"] = part
        for name, part in zip(("ffn_gate", "ffn_up"), state[source + "gate_up"], strict=True):
            out[f"{target}{name}.weight"] = part
    return {name: np.ascontiguousarray(values.float().numpy()) for name, values in out.items()}


def export(checkpoint: dict[str, Any], out: Path, kind: str, average: bool) -> None:
    """Writes ``checkpoint`` (as train.py saves it) to ``out``; norms stay fp32, matrices become ``kind``."""
    config = ModelConfig(**checkpoint["config"])
    quantization, file_type = KINDS[kind]
    draft = out.with_name(out.name + ".draft")
    writer = gguf.GGUFWriter(draft, "qwen3")
    writer.add_name("Local Swarm demonstration model")
    writer.add_description(
        "A small tool-calling model for demonstrations and tests, trained on generated data"
    )
    writer.add_author("The Local Swarm authors")
    writer.add_license("MIT")
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    add_sizes(writer, config)
    add_tokenizer(writer, config.vocabulary)
    for name, values in tensors(checkpoint["average" if average else "model"], config).items():
        if values.ndim == 1 or quantization == Quantization.F32:
            writer.add_tensor(name, values)
        else:
            writer.add_tensor(name, quants.quantize(values, quantization), raw_dtype=quantization)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    draft.replace(out)


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="export", description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--kind", choices=sorted(KINDS), default="q8_0")
    parser.add_argument(
        "--average", action="store_true", help="the averaged weights instead of the last ones"
    )
    options = parser.parse_args()
    checkpoint = torch.load(options.checkpoint, map_location="cpu", weights_only=False)
    export(checkpoint, options.out, options.kind, options.average)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.2f} MB, {options.kind}")


if __name__ == "__main__":
    main()

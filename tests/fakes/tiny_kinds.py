"""Tiny models of every kind of memory that llama.cpp has; `tiny_gguf` tells what they have in common."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import numpy as np

from tests.fakes import tiny_gguf
from tests.fakes.tiny_gguf import CHATML, CONTEXT, Sketch

WINDOW = 24
"""Tokens that the sliding layers of the SWA model see."""
_EXPERTS, _EXPERTS_USED, _EXPERT_SIZE = 4, 2, 32
_STATE, _CONVOLUTION, _STEP_RANK = 16, 4, 4
_SHORT_CONVOLUTION = 3


class Kind(StrEnum):
    DENSE = "dense"
    MOE = "moe"
    SWA = "swa"
    RECURRENT = "recurrent"
    HYBRID = "hybrid"


def write(
    path: Path, kind: Kind, seed: int = 1, template: str | None = CHATML, context: int = CONTEXT
) -> Path:
    """A model of `context` tokens, under 1 MB; `template` None: without a chat template."""
    match kind:
        case Kind.DENSE:
            return tiny_gguf.write(path, seed, template, context)
        case Kind.MOE:
            return _moe(Sketch(path, "qwen3moe", seed, template, context))
        case Kind.SWA:
            return _swa(Sketch(path, "olmo2", seed, template, context))
        case Kind.RECURRENT:
            return _recurrent(Sketch(path, "mamba", seed, template, context))
        case Kind.HYBRID:
            return _hybrid(Sketch(path, "lfm2", seed, template, context))


def _moe(model: Sketch) -> Path:
    model.attention()
    model.writer.add_expert_count(_EXPERTS)
    model.writer.add_expert_used_count(_EXPERTS_USED)
    model.writer.add_expert_feed_forward_length(_EXPERT_SIZE)
    model.ends()
    for layer in range(model.layers):
        block = f"blk.{layer}."
        model.norm(f"{block}attn_norm")
        model.norm(f"{block}attn_q_norm", model.embedding // model.heads)
        model.norm(f"{block}attn_k_norm", model.embedding // model.heads)
        model.norm(f"{block}ffn_norm")
        model.projections(block)
        model.matrix(f"{block}ffn_gate_inp", _EXPERTS, model.embedding)
        model.matrix(f"{block}ffn_gate_exps", _EXPERTS, _EXPERT_SIZE, model.embedding)
        model.matrix(f"{block}ffn_up_exps", _EXPERTS, _EXPERT_SIZE, model.embedding)
        model.matrix(f"{block}ffn_down_exps", _EXPERTS, model.embedding, _EXPERT_SIZE)
    return model.finish()


def _swa(model: Sketch) -> Path:
    """The first layer slides, the second sees all."""
    model.attention()
    model.writer.add_sliding_window(WINDOW)
    model.writer.add_sliding_window_pattern([True, False])
    model.ends()
    for layer in range(model.layers):
        block = f"blk.{layer}."
        model.norm(f"{block}attn_q_norm")
        model.norm(f"{block}attn_k_norm", model.kv)
        model.norm(f"{block}post_attention_norm")
        model.norm(f"{block}post_ffw_norm")
        model.projections(block)
        model.dense_feed_forward(block)
    return model.finish()


def _recurrent(model: Sketch) -> Path:
    inner = 2 * model.embedding
    model.writer.add_head_count(0)
    model.writer.add_ssm_conv_kernel(_CONVOLUTION)
    model.writer.add_ssm_inner_size(inner)
    model.writer.add_ssm_state_size(_STATE)
    model.writer.add_ssm_time_step_rank(_STEP_RANK)
    model.ends()
    for layer in range(model.layers):
        block = f"blk.{layer}."
        model.norm(f"{block}attn_norm")
        model.matrix(f"{block}ssm_in", 2 * inner, model.embedding)
        model.matrix(f"{block}ssm_conv1d", inner, _CONVOLUTION)
        model.add(f"{block}ssm_conv1d.bias", model.values(inner))
        model.matrix(f"{block}ssm_x", _STEP_RANK + 2 * _STATE, inner)
        model.matrix(f"{block}ssm_dt", inner, _STEP_RANK)
        # Small steps: the state remembers far back.
        model.add(f"{block}ssm_dt.bias", model.values(inner) - 4.0)
        decay = np.tile(np.arange(1, _STATE + 1, dtype=np.float32), (inner, 1))
        model.add(f"{block}ssm_a", -decay)
        model.add(f"{block}ssm_d", np.ones(inner, np.float32))
        model.matrix(f"{block}ssm_out", model.embedding, inner)
    return model.finish()


def _hybrid(model: Sketch) -> Path:
    """The first layer is a short convolution with a state, the second attends."""
    model.attention([0, model.kv_heads])
    model.writer.add_shortconv_l_cache(_SHORT_CONVOLUTION)
    model.writer.add_vocab_size(tiny_gguf.VOCABULARY)
    model.ends(last_norm="token_embd_norm")
    for layer in range(model.layers):
        block = f"blk.{layer}."
        model.norm(f"{block}attn_norm")
        model.norm(f"{block}ffn_norm")
        model.dense_feed_forward(block)
        if layer:
            model.norm(f"{block}attn_q_norm", model.embedding // model.heads)
            model.norm(f"{block}attn_k_norm", model.embedding // model.heads)
            model.projections(block)
        else:
            model.matrix(f"{block}shortconv.conv", model.embedding, _SHORT_CONVOLUTION)
            model.matrix(f"{block}shortconv.in_proj", 3 * model.embedding, model.embedding)
            model.matrix(f"{block}shortconv.out_proj", model.embedding, model.embedding)
    return model.finish()

"""A tiny model that has a layer for multi-token prediction behind its trunk."""

from __future__ import annotations

from pathlib import Path

from gguf import ExpertGatingFuncType

from tests.fakes.tiny_gguf import CHATML, CONTEXT, Sketch

_EXPERTS, _EXPERTS_USED, _EXPERT_SIZE = 4, 2, 32


def write(path: Path, seed: int = 1, template: str | None = CHATML, context: int = CONTEXT) -> Path:
    """A glm4moe of two layers and one for prediction; its guesses are as random as its weights."""
    model = Sketch(path, "glm4moe", seed, template, context, layers=3)
    head = model.embedding // model.heads
    model.attention()
    model.writer.add_key_length(head)
    model.writer.add_value_length(head)
    model.writer.add_rope_dimension_count(head)
    model.writer.add_expert_count(_EXPERTS)
    model.writer.add_expert_used_count(_EXPERTS_USED)
    model.writer.add_expert_shared_count(1)
    model.writer.add_expert_feed_forward_length(_EXPERT_SIZE)
    model.writer.add_expert_gating_func(ExpertGatingFuncType.SIGMOID)
    model.writer.add_leading_dense_block_count(1)
    model.writer.add_nextn_predict_layers(1)
    model.ends()
    for layer in range(model.layers):
        block = f"blk.{layer}."
        model.norm(f"{block}attn_norm")
        model.norm(f"{block}post_attention_norm")
        model.projections(block)
        if layer == 0:
            model.dense_feed_forward(block)
            continue
        model.matrix(f"{block}ffn_gate_inp", _EXPERTS, model.embedding)
        model.add(f"{block}exp_probs_b.bias", model.values(_EXPERTS))
        for name, rows, columns in (
            ("gate", _EXPERT_SIZE, model.embedding),
            ("up", _EXPERT_SIZE, model.embedding),
            ("down", model.embedding, _EXPERT_SIZE),
        ):
            model.matrix(f"{block}ffn_{name}_exps", _EXPERTS, rows, columns)
            model.matrix(f"{block}ffn_{name}_shexp", rows, columns)
    prediction = f"blk.{model.layers - 1}.nextn."
    model.matrix(f"{prediction}eh_proj", model.embedding, 2 * model.embedding)
    model.norm(f"{prediction}enorm")
    model.norm(f"{prediction}hnorm")
    return model.finish()

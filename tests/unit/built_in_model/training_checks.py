"""Checks of the training code; they need torch and are no part of the default suite.

Run them where deploy/built_in_model/requirements-train.txt is installed:
``python -m pytest tests/unit/built_in_model/training_checks.py``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from gguf import GGUFReader

from deploy.built_in_model.attention import causal_attention
from deploy.built_in_model.batches import Shard
from deploy.built_in_model.model import ModelConfig, Transformer
from deploy.built_in_model.optimizer import orthogonalise
from deploy.built_in_model.threads import SETTLED_STEPS, TRIAL_STEPS, ThreadChoice

SMALL = ModelConfig(vocabulary=64, width=32, layers=2, heads=2, head_dim=16, feed_forward=48, context=64)


def test_attention_and_its_gradients_equal_those_of_torch() -> None:
    torch.manual_seed(0)
    ours = [torch.randn(6, 19, 8, requires_grad=True) for _ in range(3)]
    theirs = [part.detach().clone().requires_grad_() for part in ours]
    mixed, _ = causal_attention(*ours)
    wanted = F.scaled_dot_product_attention(*theirs, is_causal=True, scale=1.0)
    torch.testing.assert_close(mixed, wanted)
    weight = torch.randn_like(mixed)
    (mixed * weight).sum().backward()
    (wanted * weight).sum().backward()
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad)


def test_a_position_does_not_see_what_follows() -> None:
    torch.manual_seed(0)
    model = Transformer(SMALL, low_precision=False)
    ids = torch.randint(0, 64, (1, 12))
    changed = ids.clone()
    changed[0, 8:] = (changed[0, 8:] + 1) % 64
    before = model(ids, torch.arange(8))
    after = model(changed, torch.arange(8))
    torch.testing.assert_close(before, after)


def test_low_precision_stays_close() -> None:
    torch.manual_seed(0)
    exact = Transformer(SMALL, low_precision=False)
    rough = Transformer(SMALL, low_precision=True)
    rough.load_state_dict(exact.state_dict())
    ids = torch.randint(0, 64, (3, 16))
    positions = torch.arange(48)
    torch.testing.assert_close(exact(ids, positions), rough(ids, positions), atol=0.05, rtol=0.05)


def test_orthogonalised_matrices_have_singular_values_near_one() -> None:
    torch.manual_seed(0)
    for shape in ((3, 16, 40), (2, 40, 16)):
        values = torch.linalg.svdvals(orthogonalise(torch.randn(shape)))
        assert values.min() > 0.4
        assert values.max() < 1.3


def test_a_shard_gives_each_conversation_once_with_its_targets(tmp_path: Path) -> None:
    lengths = [5, 9, 6]
    tokens = np.arange(1, 21)
    mask = np.array([0, 0, 1, 1, 0, *[0, 1, 1, 0, 0, 1, 1, 1, 0], *[0, 0, 0, 0, 1, 1]])
    path = tmp_path / "shard.npz"
    np.savez(path, tokens=tokens.astype(np.uint16), mask=mask.astype(np.uint8), lengths=np.array(lengths))
    batch = Shard(path).batch([0, 1, 2])
    assert batch.targets.tolist() == [3, 4, 7, 8, 11, 12, 13, 19, 20]
    assert batch.spans.tolist() == [0, 0, 1, 1, 2, 2, 2, 3, 3]
    assert (batch.ids.flatten()[batch.positions] + 1).tolist() == batch.targets.tolist()
    seen = [b.targets.tolist() for b in Shard(path).batches(8, np.random.default_rng(0))]
    assert sorted(target for part in seen for target in part) == sorted(batch.targets.tolist())


def test_the_faster_number_of_threads_is_kept() -> None:
    before = torch.get_num_threads()
    try:
        choice = ThreadChoice(2)
        used = []
        for _ in range(SETTLED_STEPS + 2 * TRIAL_STEPS + SETTLED_STEPS):
            choice.before_step()
            used.append(choice.count)
            choice.after_step(1000, 1.0 if choice.count == 1 else 2.0)
    finally:
        torch.set_num_threads(before)
    assert used[:SETTLED_STEPS] == [2] * SETTLED_STEPS
    assert used[-SETTLED_STEPS:] == [1] * SETTLED_STEPS


def command(module: str, *arguments: str | Path) -> None:
    line = [sys.executable, "-m", f"deploy.built_in_model.{module}", *map(str, arguments)]
    subprocess.run(line, check=True, timeout=300)


def test_a_run_ends_resumes_and_becomes_a_model_file(tmp_path: Path) -> None:
    run = tmp_path / "run"
    sizes = ["--width", "32", "--layers", "2", "--head-dim", "16", "--feed-forward", "64"]
    tiny = ["--run", run, "--no-compile", "--shard", "40", "--batch-tokens", "2048", "--tokens", "0.01"]

    def saved() -> dict[str, Any]:
        return torch.load(run / "checkpoint.pt", weights_only=False)

    command("train", *tiny, *sizes)
    first = saved()
    assert first["progress"]["tokens"] >= 10_000
    command("train", *tiny, "--resume", "--restart-schedule")
    second = saved()
    assert second["progress"]["step"] > first["progress"]["step"]
    assert second["progress"]["tokens"] >= first["progress"]["tokens"] + 10_000
    assert second["next_shard"] > first["next_shard"]
    assert second["config"] == first["config"]
    command("export", run / "checkpoint.pt", tmp_path / "tiny.gguf", "--average")
    names = {tensor.name for tensor in GGUFReader(tmp_path / "tiny.gguf").tensors}
    assert {"token_embd.weight", "blk.1.ffn_down.weight", "blk.0.attn_q_norm.weight"} <= names

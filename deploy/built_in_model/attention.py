"""Causal self-attention for short sequences on a CPU, forward and backward as batched matrix products.

PyTorch's own CPU attention spends most of its time outside its products for heads this small: at 256 tokens
and 24 sequences of 6 heads x 32 it takes 30 ms forward and backward on two cores, this one 12 ms
(bfloat16), because the products run batched and the slice at work stays in the cache. It keeps the
probabilities (``n * t * t`` values) for the backward pass, which only sequences of at most some hundred
tokens can afford.
"""

from __future__ import annotations

import torch
from torch import Tensor

SLICE = 1_200_000  # scores held at a time: 2.4 MB of bfloat16, about what two second-level caches hold


def _slices(n: int, length: int) -> list[slice]:
    size = max(4, SLICE // (length * length))
    return [slice(start, start + size) for start in range(0, n, size)]


@torch.library.custom_op("local_swarm::causal_attention", mutates_args=())
def causal_attention(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Attention of ``q, k, v [n, t, head_dim]`` (n = sequences x heads, ``q`` scaled already).

    Returns the mixed values ``[n, t, head_dim]`` and the probabilities ``[n, t, t]``.
    """
    n, length, _ = q.shape
    mixed = torch.empty_like(q)
    probabilities = q.new_empty(n, length, length)
    mask = torch.full((length, length), float("-inf"), dtype=q.dtype).triu(1)
    for part in _slices(n, length):
        scores = torch.bmm(q[part], k[part].transpose(1, 2)).add_(mask)
        torch.softmax(scores, -1, out=probabilities[part])
        torch.bmm(probabilities[part], v[part], out=mixed[part])
    return mixed, probabilities


@causal_attention.register_fake
def _(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    n, length, _ = q.shape
    return torch.empty_like(q), q.new_empty(n, length, length)


@torch.library.custom_op("local_swarm::causal_attention_backward", mutates_args=())
def _backward_op(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, probabilities: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    n, length, _ = q.shape
    dq, dk, dv = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
    for part in _slices(n, length):
        p, g = probabilities[part], grad[part]
        torch.bmm(p.transpose(1, 2), g, out=dv[part])
        dp = torch.bmm(g, v[part].transpose(1, 2))
        ds = torch.ops.aten._softmax_backward_data(dp, p, -1, p.dtype)
        torch.bmm(ds, k[part], out=dq[part])
        torch.bmm(ds.transpose(1, 2), q[part], out=dk[part])
    return dq, dk, dv


@_backward_op.register_fake
def _(grad: Tensor, q: Tensor, k: Tensor, v: Tensor, probabilities: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)


def _save(
    ctx: torch.autograd.function.FunctionCtx, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]
) -> None:
    ctx.save_for_backward(*inputs, output[1])


def _backward(
    ctx: torch.autograd.function.BackwardCFunction, grad: Tensor, _unused: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v, probabilities = ctx.saved_tensors
    return _backward_op(grad.contiguous(), q, k, v, probabilities)


causal_attention.register_autograd(_backward, setup_context=_save)

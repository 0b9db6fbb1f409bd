"""The built-in model's network: the qwen3 architecture in plain PyTorch, made for training on a CPU.

llama.cpp runs the result as ``qwen3``: pre-norm blocks, RMS norms on queries and keys, rotary positions in
half-split order, a gated SiLU feed-forward, tied input and output embeddings, no biases.

Matrix products run in bfloat16 (about four times the fp32 rate on CPUs with AVX-512 BF16), everything else
and the weights themselves stay fp32.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deploy.built_in_model.attention import causal_attention


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the network; ``head_dim`` is independent of ``width``, as in qwen3."""

    vocabulary: int = 3072
    width: int = 256
    layers: int = 4
    heads: int = 8
    head_dim: int = 32
    feed_forward: int = 704
    rope_base: float = 10_000.0
    context: int = 2048
    norm_epsilon: float = 1e-6

    def as_dict(self) -> dict[str, int | float]:
        """The sizes as plain values, for a checkpoint."""
        return asdict(self)


def low_precision_pays() -> bool:
    """Whether this machine multiplies bfloat16 matrices faster than fp32 ones (measured)."""
    seconds = {}
    for kind in (torch.float32, torch.bfloat16):
        x, weight = torch.ones(2048, 256, dtype=kind), torch.ones(256, 256, dtype=kind)
        F.linear(x, weight)
        begun = time.perf_counter()
        for _ in range(8):
            F.linear(x, weight)
        seconds[kind] = time.perf_counter() - begun
    return seconds[torch.bfloat16] < seconds[torch.float32]


def matmul(x: Tensor, weight: Tensor, low_precision: bool) -> Tensor:
    """``x [n, in] @ weight[out, in].T`` as ``[n, out]``, in bfloat16 when ``low_precision``."""
    if low_precision:
        return F.linear(x.to(torch.bfloat16), weight.to(torch.bfloat16))
    return F.linear(x, weight)


def rms_norm(x: Tensor, gain: Tensor, epsilon: float) -> Tensor:
    """Root-mean-square norm over the last axis, computed in fp32."""
    x = x.float()
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + epsilon) * gain


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions for ``x [b, t, heads, head_dim]``; ``cos, sin [t, 1, head_dim / 2]``."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


class Block(nn.Module):
    """One layer: attention and feed-forward, each behind its norm and added to the stream."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        inner = config.heads * config.head_dim
        self.attention_norm = nn.Parameter(torch.ones(config.width))
        self.feed_forward_norm = nn.Parameter(torch.ones(config.width))
        self.query_norm = nn.Parameter(torch.ones(config.head_dim))
        self.key_norm = nn.Parameter(torch.ones(config.head_dim))
        self.qkv = nn.Parameter(torch.empty(3, inner, config.width))
        self.attention_out = nn.Parameter(torch.empty(config.width, inner))
        self.gate_up = nn.Parameter(torch.empty(2, config.feed_forward, config.width))
        self.down = nn.Parameter(torch.empty(config.width, config.feed_forward))

    def attend(self, x: Tensor, cos: Tensor, sin: Tensor, low_precision: bool) -> Tensor:
        """Causal self-attention of ``x [b, t, width]`` before its output projection: ``[b, t, inner]``."""
        c = self.config
        batch, length, _ = x.shape
        h = rms_norm(x, self.attention_norm, c.norm_epsilon).view(batch * length, c.width)
        qkv = matmul(h, self.qkv.view(-1, c.width), low_precision).view(batch, length, 3, c.heads, c.head_dim)
        q, k, v = qkv.unbind(2)
        q = rotate(rms_norm(q, self.query_norm * c.head_dim**-0.5, c.norm_epsilon), cos, sin)
        k = rotate(rms_norm(k, self.key_norm, c.norm_epsilon), cos, sin)
        kind = torch.bfloat16 if low_precision else torch.float32

        def by_head(values: Tensor) -> Tensor:
            return values.to(kind).transpose(1, 2).reshape(batch * c.heads, length, c.head_dim)

        mixed, _ = causal_attention(by_head(q), by_head(k), by_head(v))
        mixed = mixed.view(batch, c.heads, length, c.head_dim).transpose(1, 2)
        return mixed.reshape(batch, length, c.heads * c.head_dim)

    def mix(self, x: Tensor, attended: Tensor, low_precision: bool) -> Tensor:
        """Adds the attention's output and the feed-forward to the stream ``x [n, width]``."""
        c = self.config
        x = x + matmul(attended, self.attention_out, low_precision)
        h = rms_norm(x, self.feed_forward_norm, c.norm_epsilon)
        gate, up = matmul(h, self.gate_up.view(-1, c.width), low_precision).chunk(2, dim=-1)
        return x + matmul(F.silu(gate.float()) * up, self.down, low_precision)


class Transformer(nn.Module):
    """Token ids in, logits at the wanted positions out."""

    def __init__(self, config: ModelConfig, low_precision: bool = True) -> None:
        super().__init__()
        self.config = config
        self.low_precision = low_precision
        self.embedding = nn.Parameter(torch.empty(config.vocabulary, config.width))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.final_norm = nn.Parameter(torch.ones(config.width))
        half = config.head_dim // 2
        frequencies = config.rope_base ** (-torch.arange(half).float() / half)
        angles = torch.outer(torch.arange(config.context).float(), frequencies)
        self.register_buffer("cos", angles.cos().unsqueeze(1), persistent=False)
        self.register_buffer("sin", angles.sin().unsqueeze(1), persistent=False)
        self._initialise()

    def _initialise(self) -> None:
        config = self.config
        nn.init.normal_(self.embedding, std=0.02)
        inside = 0.5 * config.width**-0.5
        outside = inside / (2 * config.layers) ** 0.5
        for block in self.blocks:
            nn.init.normal_(block.qkv, std=inside)
            nn.init.normal_(block.gate_up, std=inside)
            nn.init.normal_(block.attention_out, std=outside)
            nn.init.normal_(block.down, std=outside)

    def forward(self, ids: Tensor, positions: Tensor) -> Tensor:
        """Logits ``[p, vocabulary]`` of ``ids [b, t]`` at the flat ``positions [p]`` (row * t + column).

        Only these positions pay for the last layer's feed-forward and for the head.
        """
        c = self.config
        batch, length = ids.shape
        cos, sin = self.cos[:length], self.sin[:length]
        x = F.embedding(ids, self.embedding)
        for index, block in enumerate(self.blocks):
            attended = block.attend(x, cos, sin, self.low_precision).view(batch * length, -1)
            x = x.view(batch * length, c.width)
            if index == c.layers - 1:
                x, attended = x[positions], attended[positions]
                x = block.mix(x, attended, self.low_precision)
            else:
                x = block.mix(x, attended, self.low_precision).view(batch, length, c.width)
        return matmul(
            rms_norm(x, self.final_norm, c.norm_epsilon), self.embedding, self.low_precision
        ).float()

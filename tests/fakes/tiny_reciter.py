"""A tiny GGUF that recites one text over and over: every byte of it calls for the next one.

In models of random weights the two best tokens are now and then as good as each other, and rounding, which
differs with the number of rows in a decode, then decides. Here nothing hangs on a hair, so that a long answer
is the same whatever happens to it. Attention and layers are at work as in the other tiny models, but weak.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np

from tests.fakes.tiny_gguf import CHATML, VOCABULARY, Sketch

_WEAK = 0.1


def _text() -> str:
    """Each of its bytes once: printable characters of one byte, and some of two."""
    two = [bytes((0xC3 + each, 0x80 + each)).decode() for each in range(24)]
    characters = [chr(code) for code in range(ord(" "), ord("~") + 1)] + two
    Random(4).shuffle(characters)
    return "".join(characters)


TEXT = _text()


class _Reciter(Sketch):
    embedding, kv = 256, 128

    def ends(self, last_norm: str = "output_norm") -> None:
        embedding = self.values(VOCABULARY, self.embedding)
        self.add("token_embd.weight", embedding)
        # A newline, the last token of the prompt, calls for the first byte.
        recited = TEXT.encode()
        before = b"\n" + recited[:-1]
        head = np.zeros_like(embedding)
        for token, following in zip(before, recited, strict=True):
            head[following] += embedding[token]
        head[recited[0]] += embedding[recited[-1]]
        self.add("output.weight", head)
        self.norm(last_norm)

    def matrix(self, name: str, *shape: int) -> None:
        self.add(f"{name}.weight", self.values(*shape, scale=0.3 * _WEAK))


def write(path: Path, context: int) -> Path:
    model = _Reciter(path, "qwen2", 1, CHATML, context)
    model.attention()
    model.ends()
    for layer in range(model.layers):
        block = f"blk.{layer}."
        model.norm(f"{block}attn_norm")
        model.norm(f"{block}ffn_norm")
        model.projections(block, bias=True)
        model.dense_feed_forward(block)
    return model.finish()

"""Masks of allowed tokens laid over logits."""

from __future__ import annotations

import numpy as np

from services.inference_worker.backends.base import Mask
from services.inference_worker.backends.sampling.rows import Logits

# For each byte of a mask eight ceilings: an allowed logit stays, another falls to minus infinity.
_CEILINGS = np.where(
    np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little"), np.inf, -np.inf
).astype(np.float32)


class Masker:
    def __init__(self, size: int) -> None:
        """For a vocabulary of `size` tokens. Belongs to one thread."""
        self._ceilings = np.empty(((size + 7) // 8, 8), np.float32)
        self._flat = self._ceilings.reshape(-1)[:size]

    def apply(self, logits: Logits, mask: Mask, out: Logits) -> None:
        """Writes the logits to `out`, minus infinity where the mask does not allow the token.

        Tokens beyond a mask that is too short are not allowed.
        """
        flags = mask.astype("<u4", copy=False).view(np.uint8)[: len(self._ceilings)]
        self._ceilings[flags.size :] = -np.inf
        np.take(_CEILINGS, flags, axis=0, out=self._ceilings[: flags.size], mode="clip")
        np.minimum(logits, self._flat, out=out)


def allows(mask: Mask, token: int) -> bool:
    word = token // 32
    return word < mask.size and bool(int(mask[word]) >> (token % 32) & 1)

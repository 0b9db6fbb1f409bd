"""A decode batch in arrays of our own: one numpy write per slice and field, no ctypes call per token."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import llama_cpp.llama_cpp as llama
import numpy as np

from services.inference_worker.backends.base import Slice


class Batch:
    """Room for `size` tokens, `outputs` of them with logits: `fill` it, give `native` to llama_decode."""

    def __init__(self, size: int, outputs: int, sequences: int) -> None:
        self.size = size
        self._outputs = outputs
        self._sequences = sequences
        self._token = np.zeros(size, np.int32)
        self._position = np.zeros(size, np.int32)
        self._sequence = np.zeros(size, np.int32)
        self._output = np.zeros(size, np.int8)
        # Every token belongs to exactly one sequence, so these two never change.
        self._sequences_per_token = np.ones(size, np.int32)
        base = self._sequence.ctypes.data
        int32_pointer = ctypes.POINTER(ctypes.c_int32)
        self._sequence_pointers = (int32_pointer * size)(
            *(ctypes.cast(base + index * self._sequence.itemsize, int32_pointer) for index in range(size))
        )
        self.native = llama.llama_batch(
            n_tokens=0,
            token=self._token.ctypes.data_as(int32_pointer),
            embd=None,
            pos=self._position.ctypes.data_as(int32_pointer),
            n_seq_id=self._sequences_per_token.ctypes.data_as(int32_pointer),
            seq_id=self._sequence_pointers,
            logits=self._output.ctypes.data_as(ctypes.POINTER(ctypes.c_int8)),
        )

    def fill(self, slices: Sequence[Slice], filler: Slice | None = None) -> None:
        """Raises ValueError when the slices do not fit: native code would end the process.

        `filler` comes last and may be of a sequence beyond those of `slices`.
        """
        at = outputs = 0
        for each in slices if filler is None else (*slices, filler):
            count = len(each.tokens)
            end = at + count
            outputs += each.outputs
            if end > self.size:
                raise ValueError(f"a batch of more than {self.size} tokens")
            if not 0 <= each.outputs <= count or outputs > self._outputs:
                raise ValueError(f"{each.outputs} outputs of {count} tokens, at most {self._outputs} in all")
            if each is not filler and not 0 <= each.sequence < self._sequences:
                raise ValueError(f"there is no sequence {each.sequence}")
            if count == 1:
                self._token[at] = each.tokens[0]
                self._position[at] = each.position
                self._sequence[at] = each.sequence
                self._output[at] = each.outputs
            else:
                self._token[at:end] = each.tokens
                self._position[at:end] = np.arange(each.position, each.position + count, dtype=np.int32)
                self._sequence[at:end] = each.sequence
                self._output[at:end] = 0
                self._output[end - each.outputs : end] = 1
            at = end
        self.native.n_tokens = at

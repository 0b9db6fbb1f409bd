"""What llama.cpp remembers of each sequence: copied, cut, saved and loaded as the kind of model allows.

llama.cpp itself checks little: cut a sliding window too far back and it computes on without the tokens
that it has forgotten. So every promise of `base.Backend` is kept here.
"""

from __future__ import annotations

import ctypes
import struct
import zlib
from dataclasses import dataclass
from enum import StrEnum

import llama_cpp.llama_cpp as llama
import numpy as np

from services.inference_worker.backends.base import BackendFailure

# Memory with an index or compressed cells beside the cache: only what is whole is used again.
_STATEFUL_ARCHITECTURES = frozenset(
    ("deepseek32", "deepseek4", "dots3note", "glm-dsa", "glm5-next", "hy-v4", "minimax-m3", "qwen4exp")
)
_CHUNKED_ARCHITECTURES = frozenset(("llama4",))
# Magic and version, start, end, bytes of llama.cpp's state that follow, and their CRC-32: llama.cpp believes
# what a state says of its cells, and ends the process or loses cells for ever over nonsense.
_HEADER = struct.Struct("<8sIIQI")
_MAGIC = b"LSSTATE1"


class Kind(StrEnum):
    PLAIN = "plain"
    """Every token has its cells in every layer, for as long as the sequence lives."""
    WINDOWED = "windowed"
    """Some layers look back over a window only, and forget what is behind it."""
    STATEFUL = "stateful"
    """Recurrent or hybrid: one state that holds all tokens and can be taken no token back."""


@dataclass(frozen=True, slots=True)
class Shape:
    """`window` tokens that the sliding layers see; with `chunked` it does not slide but begins anew."""

    kind: Kind
    window: int = 0
    chunked: bool = False

    @classmethod
    def of(cls, model: llama.llama_model_p, architecture: str) -> Shape:
        window = llama.llama_model_n_swa(model)
        if (
            llama.llama_model_is_recurrent(model)
            or llama.llama_model_is_hybrid(model)
            or architecture in _STATEFUL_ARCHITECTURES
        ):
            return cls(Kind.STATEFUL)
        if window > 0:
            return cls(Kind.WINDOWED, window, architecture in _CHUNKED_ARCHITECTURES)
        return cls(Kind.PLAIN)

    def needed_from(self, length: int) -> int:
        """The first position that the token at position `length` looks at in a sliding layer."""
        if self.chunked:
            return length // self.window * self.window
        return max(0, length - self.window + 1)


class SequenceMemory:
    """The sequences of one context. `scratch`: a sequence of its own for ranges, only with Kind.PLAIN.

    `own_windows`: the sliding layers have fewer cells than the others.
    """

    def __init__(
        self, context: llama.llama_context_p, shape: Shape, scratch: int | None, own_windows: bool
    ) -> None:
        """Raises ValueError when the context has no memory."""
        memory = llama.llama_get_memory(context)
        if memory is None:
            raise ValueError("the context has no memory")
        self._context = context
        self._memory = memory
        self._shape = shape
        self._scratch = scratch
        self._own_windows = own_windows

    def length(self, sequence: int) -> int:
        return int(llama.llama_memory_seq_pos_max(self._memory, sequence)) + 1

    def copy(self, source: int, target: int, length: int) -> None:
        """Raises ValueError when part of a sequence is asked for that can only be copied whole."""
        if self._shape.kind is not Kind.PLAIN and not self._ends_at(source, length):
            raise ValueError(f"{length} of {self.length(source)} tokens cannot be copied apart")
        llama.llama_memory_seq_cp(self._memory, source, target, 0, length)
        if self._own_windows:
            # Cells with two owners are never given back while both live, even far behind their windows:
            # the few cells of the sliding layers would fill up with them. So the target gets its own.
            flags = llama.LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY
            if not self._write(target, self._read(source, flags), flags):
                raise BackendFailure("llama.cpp did not take back the window that it gave")

    def can_cut(self, sequence: int, length: int) -> bool:
        if length == 0:
            return True
        if self._shape.kind is Kind.PLAIN:
            return length <= self.length(sequence)
        if self._shape.kind is Kind.STATEFUL:
            return length == self.length(sequence)
        if self._ends_at(sequence, length):
            # Only an interrupted decode makes a sequence end where its window is not whole.
            needed = self._shape.needed_from(length)
            return needed >= length or self._first(sequence) <= needed
        return 0 <= self._first(sequence) <= self._shape.needed_from(length) < length < self.length(sequence)

    def cut(self, sequence: int, length: int) -> bool:
        if not self.can_cut(sequence, length):
            return False
        return bool(llama.llama_memory_seq_rm(self._memory, sequence, length, -1))

    def drop(self, sequence: int) -> None:
        llama.llama_memory_seq_rm(self._memory, sequence, -1, -1)

    def save(self, sequence: int, start: int, end: int) -> bytes:
        """Raises BackendFailure when llama.cpp gives nothing, ValueError for a range that is not held."""
        held = self.length(sequence)
        if self._scratch is None:
            if start != 0 or not self._ends_at(sequence, end):
                raise ValueError(f"the range {start}:{end} of {held} tokens that can only be saved whole")
            state = self._read(sequence)
        else:
            if not 0 <= start < end <= held:
                raise ValueError(f"the range {start}:{end} of a sequence of {held} tokens")
            try:
                llama.llama_memory_seq_cp(self._memory, sequence, self._scratch, start, end)
                state = self._read(self._scratch)
            finally:
                self.drop(self._scratch)
        return _HEADER.pack(_MAGIC, start, end, state.nbytes, zlib.crc32(state.data)) + state.tobytes()

    def load(self, sequence: int, start: int, end: int, state: bytes) -> bool:
        payload = _payload(start, end, state)
        if payload is None or self.length(sequence) != start:
            return False
        if self._scratch is None:
            loaded = start == 0 and self._write(sequence, payload) and self._ends_at(sequence, end)
            if not loaded:
                # Empty before, so empty again: one of several caches may have taken its part.
                self.drop(sequence)
            return loaded
        try:
            loaded = self._write(self._scratch, payload) and self._holds(self._scratch, start, end)
            if loaded:
                llama.llama_memory_seq_cp(self._memory, self._scratch, sequence, start, end)
            return loaded
        finally:
            self.drop(self._scratch)

    def _holds(self, sequence: int, start: int, end: int) -> bool:
        return self._first(sequence) == start and self.length(sequence) == end

    def _first(self, sequence: int) -> int:
        """The first position that all layers still know; -1: none."""
        return int(llama.llama_memory_seq_pos_min(self._memory, sequence))

    def _ends_at(self, sequence: int, length: int) -> bool:
        held = self.length(sequence)
        # Where a chunk ends its cells are of no use any more, and may all be gone.
        begins_anew = self._shape.chunked and length % self._shape.window == 0
        return held == length or (held == 0 and begins_anew)

    def _read(self, sequence: int, flags: int = 0) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
        size = llama.llama_state_seq_get_size_ext(self._context, sequence, flags)
        buffer = np.empty(size, np.uint8)
        pointer = buffer.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        written = llama.llama_state_seq_get_data_ext(self._context, pointer, size, sequence, flags)
        if not size or written != size:
            raise BackendFailure(f"llama.cpp gave {written} of {size} bytes of a sequence's state")
        return buffer

    def _write(
        self, sequence: int, state: np.ndarray[tuple[int], np.dtype[np.uint8]], flags: int = 0
    ) -> bool:
        pointer = state.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        taken = llama.llama_state_seq_set_data_ext(self._context, pointer, state.nbytes, sequence, flags)
        return bool(taken == state.nbytes)


def _payload(start: int, end: int, state: bytes) -> np.ndarray[tuple[int], np.dtype[np.uint8]] | None:
    """llama.cpp's part of a saved state; None: it is none, is damaged, or holds another range."""
    if len(state) <= _HEADER.size:
        return None
    *facts, checksum = _HEADER.unpack_from(state)
    if facts != [_MAGIC, start, end, len(state) - _HEADER.size]:
        return None
    payload = np.frombuffer(state, np.uint8, offset=_HEADER.size)
    return payload if zlib.crc32(payload.data) == checksum else None

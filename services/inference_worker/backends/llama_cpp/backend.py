"""The engine's backend on llama.cpp: one model, one context, a unified KV cache."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from time import perf_counter

import llama_cpp.llama_cpp as llama
import numpy as np

from services.inference_worker.backends.base import (
    BackendFailure,
    Capacity,
    Outcome,
    Reuse,
    Row,
    Sampler,
    SamplerSpec,
    Slice,
    Vocabulary,
)
from services.inference_worker.backends.llama_cpp import log
from services.inference_worker.backends.llama_cpp.batch import Batch
from services.inference_worker.backends.llama_cpp.devices import offloads
from services.inference_worker.backends.llama_cpp.filler import Filler
from services.inference_worker.backends.llama_cpp.memory import Kind
from services.inference_worker.backends.llama_cpp.opening import Interrupt, open_model
from services.inference_worker.backends.llama_cpp.options import KvType, LoadOptions
from services.inference_worker.backends.llama_cpp.vocabulary import LlamaVocabulary
from services.inference_worker.backends.sampling.rows import Logits, Rows
from services.inference_worker.backends.sampling.sampler import Samplers

_NO_ROOM = 1


class LlamaCppBackend:
    def __init__(self, options: LoadOptions) -> None:
        """Loads the model. Raises SwarmError MODEL_FILE_INVALID or MODEL_TOO_LARGE with llama.cpp's words."""
        self._interrupt = Interrupt()
        opened = open_model(options, self._interrupt)
        self._model, self._context, self._memory = opened.model, opened.context, opened.memory
        self._fingerprint, self._flash_attention = opened.fingerprint, opened.flash_attention
        self.architecture = opened.architecture
        self._vocabulary = LlamaVocabulary(self._model)
        self._batch = Batch(llama.llama_n_batch(self._context), opened.outputs, opened.sequences)
        kind = opened.shape.kind
        on_processor = options.gpu_layers == 0 or not offloads()
        self._scratch = opened.scratch if on_processor else None
        self._filler = Filler(
            llama.llama_model_n_embd(self._model),
            tiled=opened.flash_attention and options.kv_type is KvType.F16,
            window=opened.shape.window,
        )
        self._capacity = Capacity(
            sequences=opened.sequences,
            cells=llama.llama_n_ctx(self._context),
            batch=self._batch.size,
            reuse=Reuse.RANGES if kind is Kind.PLAIN else Reuse.WHOLE,
            outputs=opened.outputs,
            chunk=min(self._batch.size, options.micro_batch) if on_processor else 0,
            rollback={Kind.PLAIN: None, Kind.WINDOWED: self._batch.size, Kind.STATEFUL: 0}[kind],
        )
        self._threads = options.threads
        self._rows = Rows(self._vocabulary.facts.size, self._read_logits)
        self._samplers = Samplers(self._rows, self._vocabulary)

    # -- facts and words, from any thread ----------------------------------------------------------

    @property
    def vocabulary(self) -> Vocabulary:
        return self._vocabulary.facts

    @property
    def capacity(self) -> Capacity:
        return self._capacity

    @property
    def flash_attention(self) -> bool:
        """Whether it is in use; where it was left to llama.cpp, what came out."""
        return self._flash_attention

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def tokenize(self, text: str) -> list[int]:
        return self._vocabulary.tokenize(text)

    def piece(self, token: int) -> bytes:
        return self._vocabulary.piece(token)

    def is_end(self, token: int) -> bool:
        return self._vocabulary.is_end(token)

    def token_text(self, token: int) -> bytes:
        """How the model file spells the token; `piece` is what it stands for."""
        return self._vocabulary.spelling(token)

    @property
    def model(self) -> llama.llama_model_p:
        """The loaded weights, for further contexts on them; `close` frees them."""
        return self._model

    def interrupt(self, wanted: bool) -> None:
        self._interrupt.set(wanted)

    # -- the engine's thread -----------------------------------------------------------------------

    def use_threads(self, count: int) -> None:
        if count != self._threads:
            self._threads = count
            llama.llama_set_n_threads(self._context, count, count)

    def calibrate(self) -> None:
        if self._scratch is not None:
            self._filler.measure(self._time)

    def decode(self, slices: Sequence[Slice]) -> Outcome:
        self._rows.clear()
        filler = self._fill_up(slices)
        self._batch.fill(slices, filler)
        code = llama.llama_decode(self._context, self._batch.native)
        if filler is not None:
            self._memory.drop(filler.sequence)
            if code == _NO_ROOM:
                self._batch.fill(slices)
                code = llama.llama_decode(self._context, self._batch.native)
        match code:
            case 0:
                return Outcome.DONE
            case 1:
                return Outcome.NO_ROOM
            case 2:
                return Outcome.INTERRUPTED
            case -1:
                return Outcome.REJECTED
        raise BackendFailure(f"llama_decode returned {code}: {log.last_complaints()}")

    def _fill_up(self, slices: Sequence[Slice]) -> Slice | None:
        """Tokens of nobody's that make the step quicker; None: it is better as it is."""
        if self._scratch is None or not slices:
            return None
        rows = sum(len(each.tokens) for each in slices)
        missing = self._filler.missing(rows, len(slices), slices[0].position)
        if not missing or rows + missing > self._batch.size:
            return None
        outputs = sum(each.outputs for each in slices)
        # The output layer has groups of its own.
        wanted = missing if outputs == rows and outputs + missing <= self._capacity.outputs else 0
        return Slice(self._scratch, 0, [0] * missing, wanted)

    def _time(self, rows: int) -> float:
        """Seconds that a decode of `rows` tokens takes, without filler."""
        self._batch.fill([Slice(0, 0, [0] * rows, min(rows, self._capacity.outputs))])
        started = perf_counter()
        code = llama.llama_decode(self._context, self._batch.native)
        seconds = perf_counter() - started
        self.drop(0)
        return seconds if code == 0 else inf

    def sampler(self, spec: SamplerSpec) -> Sampler:
        return self._samplers.make(spec)

    def copy(self, source: int, target: int, length: int) -> None:
        self._memory.copy(source, target, length)

    def can_cut(self, sequence: int, length: int) -> bool:
        return self._memory.can_cut(sequence, length)

    def cut(self, sequence: int, length: int) -> bool:
        return self._memory.cut(sequence, length)

    def save(self, sequence: int, start: int, end: int) -> bytes:
        return self._memory.save(sequence, start, end)

    def load(self, sequence: int, start: int, end: int, state: bytes) -> bool:
        return self._memory.load(sequence, start, end, state)

    def drop(self, sequence: int) -> None:
        self._memory.drop(sequence)

    def close(self) -> None:
        """Frees context and model; nothing but `tokenize`, which then refuses, may be called afterwards."""
        self._vocabulary.close()
        llama.llama_free(self._context)
        llama.llama_model_free(self._model)

    def logits(self, row: Row) -> Logits:
        """A view that is valid until the next decode."""
        return self._rows.logits(row)

    def _read_logits(self, row: Row) -> Logits:
        pointer = llama.llama_get_logits_ith(self._context, row)
        if not pointer:
            raise BackendFailure(f"row {row} has no logits")
        return np.ctypeslib.as_array(pointer, (self.vocabulary.size,))

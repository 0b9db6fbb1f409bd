"""The engine's backend on llama.cpp: one model, one context, a unified KV cache."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import llama_cpp.llama_cpp as llama
import numpy as np

from services.common.errors import Reason, SwarmError
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
from services.inference_worker.backends.llama_cpp.sampler import ChainSampler, GreedySampler, Logits
from services.inference_worker.backends.llama_cpp.vocabulary import LlamaVocabulary

# Tokens that one graph computes; more only takes memory.
_MICRO_BATCH = 512
# llama.cpp's own bound.
MOST_SEQUENCES = 256


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """`gpu_layers` -1: all. `threads` and `batch` as in the settings."""

    path: Path
    cells: int
    sequences: int
    batch: int
    threads: int
    gpu_layers: int = -1


@cache
def _initialise() -> None:
    log.route()
    llama.llama_backend_init()


class LlamaCppBackend:
    def __init__(self, options: LoadOptions) -> None:
        """Loads the model. Raises SwarmError MODEL_FILE_INVALID or MODEL_TOO_LARGE with llama.cpp's words."""
        _initialise()
        log.forget_complaints()
        self._model = self._load_model(options)
        self._vocabulary = LlamaVocabulary(self._model)
        # strlen as the callback: true once the first byte is set, and native code never needs the GIL.
        self._interrupted = ctypes.create_string_buffer(2)
        self._strlen = ctypes.CDLL(None).strlen
        self._context = self._make_context(options)
        memory = llama.llama_get_memory(self._context)
        if memory is None:
            raise _unusable(options.path, "it keeps no KV cache, so it cannot generate text")
        self._memory = memory
        self._batch = Batch(llama.llama_n_batch(self._context))
        recurrent = llama.llama_model_is_recurrent(self._model) or llama.llama_model_is_hybrid(self._model)
        self._capacity = Capacity(
            sequences=options.sequences,
            cells=llama.llama_n_ctx(self._context),
            batch=self._batch.size,
            reuse=Reuse.WHOLE if recurrent else Reuse.RANGES,
        )
        self._rows: dict[Row, Logits] = {}
        self._sums: dict[Row, float] = {}
        self._scratch = np.empty(self._vocabulary.facts.size, np.float32)

    # -- facts and words, from any thread ----------------------------------------------------------

    @property
    def vocabulary(self) -> Vocabulary:
        return self._vocabulary.facts

    @property
    def capacity(self) -> Capacity:
        return self._capacity

    def tokenize(self, text: str) -> list[int]:
        return self._vocabulary.tokenize(text)

    def piece(self, token: int) -> bytes:
        return self._vocabulary.piece(token)

    def is_end(self, token: int) -> bool:
        return self._vocabulary.is_end(token)

    def interrupt(self, wanted: bool) -> None:
        self._interrupted[0] = b"\x01" if wanted else b"\x00"

    # -- the engine's thread -----------------------------------------------------------------------

    def decode(self, slices: Sequence[Slice]) -> Outcome:
        self._rows.clear()
        self._sums.clear()
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

    def sampler(self, spec: SamplerSpec) -> Sampler:
        penalised = spec.frequency_penalty or spec.presence_penalty
        if spec.temperature <= 0 and not penalised:
            return GreedySampler(self)
        return ChainSampler(
            spec, self, self._context, vocabulary=self.vocabulary.size, window=self._capacity.cells
        )

    def copy(self, source: int, target: int, length: int) -> None:
        llama.llama_memory_seq_cp(self._memory, source, target, 0, length)

    def cut(self, sequence: int, length: int) -> bool:
        return bool(llama.llama_memory_seq_rm(self._memory, sequence, length, -1))

    def drop(self, sequence: int) -> None:
        llama.llama_memory_seq_rm(self._memory, sequence, -1, -1)

    def close(self) -> None:
        """Frees context and model; nothing but `tokenize`, which then refuses, may be called afterwards."""
        self._vocabulary.close()
        llama.llama_free(self._context)
        llama.llama_model_free(self._model)

    def logits(self, row: Row) -> Logits:
        """A view that is valid until the next decode."""
        found = self._rows.get(row)
        if found is None:
            pointer = llama.llama_get_logits_ith(self._context, row)
            if not pointer:
                raise BackendFailure(f"row {row} has no logits")
            found = self._rows[row] = np.ctypeslib.as_array(pointer, (self.vocabulary.size,))
        return found

    def log_sum_exp(self, row: Row) -> float:
        found = self._sums.get(row)
        if found is None:
            logits = self.logits(row)
            highest = logits.max()
            np.subtract(logits, highest, out=self._scratch)
            np.exp(self._scratch, out=self._scratch)
            found = self._sums[row] = float(highest + np.log(self._scratch.sum()))
        return found

    # -- loading -----------------------------------------------------------------------------------

    def _load_model(self, options: LoadOptions) -> llama.llama_model_p:
        parameters = llama.llama_model_default_params()
        parameters.n_gpu_layers = options.gpu_layers
        model: llama.llama_model_p | None = llama.llama_model_load_from_file(
            str(options.path).encode(), parameters
        )
        if model is None:
            raise _unusable(options.path, log.last_complaints() or "llama.cpp gives no reason")
        if llama.llama_model_has_encoder(model) or not llama.llama_model_has_decoder(model):
            llama.llama_model_free(model)
            raise _unusable(options.path, "only decoder models that generate text are served")
        return model

    def _make_context(self, options: LoadOptions) -> llama.llama_context_p:
        parameters = llama.llama_context_default_params()
        parameters.n_ctx = options.cells
        # A step holds at least one token of every stream.
        parameters.n_batch = max(options.batch, options.sequences)
        parameters.n_ubatch = min(parameters.n_batch, _MICRO_BATCH)
        parameters.n_seq_max = min(options.sequences, MOST_SEQUENCES)
        parameters.n_outputs_max = options.sequences
        parameters.n_threads = parameters.n_threads_batch = options.threads
        parameters.kv_unified = True
        # Sliding windows are kept whole: otherwise prefixes could be neither cut nor shared.
        parameters.swa_full = True
        parameters.no_perf = True
        parameters.abort_callback = ctypes.cast(self._strlen, type(parameters.abort_callback))
        parameters.abort_callback_data = ctypes.cast(self._interrupted, ctypes.c_void_p)
        context: llama.llama_context_p | None = llama.llama_init_from_model(self._model, parameters)
        if context is None:
            llama.llama_model_free(self._model)
            raise SwarmError(
                Reason.MODEL_TOO_LARGE,
                f"{options.path}: no context of {options.cells} cells could be made "
                f"({log.last_complaints() or 'llama.cpp gives no reason'}). Try a smaller SWARM_CONTEXT.",
            )
        return context


def _unusable(path: Path, why: str) -> SwarmError:
    return SwarmError(Reason.MODEL_FILE_INVALID, f"{path} cannot be used: {why}")

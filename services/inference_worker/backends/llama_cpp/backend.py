"""The engine's backend on llama.cpp: one model, one context, a unified KV cache."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import secrets
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import llama_cpp
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
from services.inference_worker.backends.llama_cpp.memory import Kind, SequenceMemory, Shape
from services.inference_worker.backends.llama_cpp.options import SPARE_OUTPUTS, KvType, LoadOptions
from services.inference_worker.backends.llama_cpp.vocabulary import LlamaVocabulary
from services.inference_worker.backends.sampling.rows import Logits, Rows
from services.inference_worker.backends.sampling.sampler import Samplers

# llama.cpp's own bound.
MOST_SEQUENCES = 256
_GGML_TYPES = {KvType.F16: 1, KvType.Q8_0: 8, KvType.Q4_0: 2}
# What this module writes into a saved state, beside llama.cpp's part; higher when it changes.
_STATE_VERSION = 1


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
        self._shape = Shape.of(self._model, _metadata(self._model, "general.architecture"))
        plain = self._shape.kind is Kind.PLAIN
        self._sequences = min(options.sequences, MOST_SEQUENCES - plain)
        self._context = self._make_context(options, self._sequences + plain)
        cells, micro_batch = llama.llama_n_ctx(self._context), llama.llama_n_ubatch(self._context)
        try:
            self._memory = SequenceMemory(
                self._context,
                self._shape,
                scratch=self._sequences if plain else None,
                own_windows=self._shape.kind is Kind.WINDOWED
                and self._shape.window_cells(cells, self._sequences, micro_batch) < cells,
            )
        except ValueError:
            raise _unusable(options.path, "it keeps no KV cache, so it cannot generate text") from None
        outputs = self._most_outputs(options)
        self._batch = Batch(llama.llama_n_batch(self._context), outputs, self._sequences)
        self._capacity = Capacity(
            sequences=self._sequences,
            cells=cells,
            batch=self._batch.size,
            reuse=Reuse.RANGES if plain else Reuse.WHOLE,
            outputs=outputs,
            rollback={Kind.PLAIN: None, Kind.WINDOWED: self._batch.size, Kind.STATEFUL: 0}[self._shape.kind],
        )
        self._fingerprint = self._compute_fingerprint(options)
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
        self._interrupted[0] = b"\x01" if wanted else b"\x00"

    # -- the engine's thread -----------------------------------------------------------------------

    def decode(self, slices: Sequence[Slice]) -> Outcome:
        self._rows.clear()
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

    def _most_outputs(self, options: LoadOptions) -> int:
        # llama.cpp has room for one row of each sequence in any case, the scratch one too.
        return max(options.outputs or self._sequences + SPARE_OUTPUTS, self._sequences + 1)

    def _make_context(self, options: LoadOptions, sequences: int) -> llama.llama_context_p:
        parameters = llama.llama_context_default_params()
        parameters.n_ctx = options.cells
        # A step holds at least one token of every stream.
        parameters.n_batch = max(options.batch, options.sequences)
        parameters.n_ubatch = min(parameters.n_batch, options.micro_batch)
        if self._shape.kind is Kind.WINDOWED:
            # In one piece: a second micro-batch may overwrite what a sequence that is cut back to where the
            # first began still sees through its window.
            parameters.n_batch = parameters.n_ubatch = max(parameters.n_ubatch, options.sequences)
        parameters.n_seq_max = sequences
        parameters.n_outputs_max = self._most_outputs(options)
        parameters.n_threads = parameters.n_threads_batch = options.threads
        parameters.kv_unified = True
        # Sliding layers keep their windows only; in hybrids all, because there nothing looks after windows.
        parameters.swa_full = self._shape.kind is Kind.STATEFUL
        parameters.type_k = parameters.type_v = _GGML_TYPES[options.kv_type]
        parameters.flash_attn_type = {
            None: llama.LLAMA_FLASH_ATTN_TYPE_AUTO,
            True: llama.LLAMA_FLASH_ATTN_TYPE_ENABLED,
            False: llama.LLAMA_FLASH_ATTN_TYPE_DISABLED,
        }[options.flash_attention]
        parameters.no_perf = True
        if self._shape.kind is not Kind.STATEFUL:
            # There an interrupted decode would leave sequences moved but not computed, even such as are not
            # in the batch.
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

    def _compute_fingerprint(self, options: LoadOptions) -> str:
        facts = {
            "content": options.content_hash or secrets.token_hex(),
            "extra": options.extra,
            "kv_type": options.kv_type,
            "flash_attention": options.flash_attention,
            # Rope is as the model file has it; these scale it in the environment of some builds.
            "rope": [
                llama.llama_model_rope_type(self._model),
                llama.llama_model_rope_freq_scale_train(self._model),
            ],
            "rotation": os.environ.get("LLAMA_ATTN_ROT_DISABLE", ""),
            "kind": self._shape.kind,
            "runtime": llama_cpp.__version__,
            "formats": [_STATE_VERSION, llama.LLAMA_STATE_SEQ_VERSION, llama.LLAMA_SESSION_VERSION],
            "byte_order": sys.byteorder,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _metadata(model: llama.llama_model_p, key: str) -> str:
    buffer = ctypes.create_string_buffer(128)
    count = llama.llama_model_meta_val_str(model, key.encode(), buffer, len(buffer))
    return buffer.value.decode("utf-8", "replace") if count >= 0 else ""


def _unusable(path: Path, why: str) -> SwarmError:
    return SwarmError(Reason.MODEL_FILE_INVALID, f"{path} cannot be used: {why}")

"""From a file to a model and a context of llama.cpp that are ready to decode."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import secrets
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import llama_cpp
import llama_cpp.llama_cpp as llama

from services.common.errors import Reason, SwarmError
from services.inference_worker.backends.llama_cpp import log
from services.inference_worker.backends.llama_cpp.memory import Kind, SequenceMemory, Shape
from services.inference_worker.backends.llama_cpp.options import (
    SPARE_OUTPUTS,
    KvType,
    LoadOptions,
    window_cells,
)

# llama.cpp's own bound.
MOST_SEQUENCES = 256
_GGML_TYPES = {KvType.F16: 1, KvType.Q8_0: 8, KvType.Q4_0: 2}
# What `memory` writes into a saved state, beside llama.cpp's part; higher when it changes.
_STATE_VERSION = 1
# What llama.cpp warns of when it runs without flash attention though it might have it.
_NO_FLASH_ATTENTION = ("Flash Attention not supported", "flash_attn is not compatible")


class Interrupt:
    """A wish that native code reads without the GIL: strlen is its callback, true once a byte is set."""

    def __init__(self) -> None:
        self._flag = ctypes.create_string_buffer(2)
        self._strlen = ctypes.CDLL(None).strlen

    def set(self, wanted: bool) -> None:
        self._flag[0] = b"\x01" if wanted else b"\x00"

    def attach(self, parameters: Any) -> None:
        """`parameters`: llama_context_params."""
        parameters.abort_callback = ctypes.cast(self._strlen, type(parameters.abort_callback))
        parameters.abort_callback_data = ctypes.cast(self._flag, ctypes.c_void_p)


@dataclass(frozen=True, slots=True)
class Opened:
    """`sequences` for callers, `outputs` rows of logits in one batch; `flash_attention` as it came out.

    `scratch`: a sequence that is none of the callers'.
    """

    model: llama.llama_model_p
    architecture: str
    context: llama.llama_context_p
    memory: SequenceMemory
    shape: Shape
    sequences: int
    scratch: int | None
    outputs: int
    flash_attention: bool
    fingerprint: str


@cache
def _initialise() -> None:
    log.route()
    llama.llama_backend_init()


def open_model(options: LoadOptions, interrupt: Interrupt) -> Opened:
    """Raises SwarmError MODEL_FILE_INVALID or MODEL_TOO_LARGE with llama.cpp's words."""
    _initialise()
    log.forget_complaints()
    model = _load_model(options)
    architecture = _metadata(model, "general.architecture")
    shape = Shape.of(model, architecture)
    # A sequence of our own: ranges of others are saved and loaded through it, and filler rows are its tokens.
    # Stateful models would pay for it with a whole state.
    scratch = shape.kind is not Kind.STATEFUL
    sequences = min(options.sequences, MOST_SEQUENCES - scratch)
    # llama.cpp has room for one row of each sequence in any case, the scratch one too.
    outputs = max(options.outputs or sequences + SPARE_OUTPUTS, sequences + 1)
    parameters = _parameters(options, shape)
    parameters.n_seq_max = sequences + scratch
    parameters.n_outputs_max = outputs
    if shape.kind is not Kind.STATEFUL:
        # There an interrupted decode would leave sequences moved but not computed, even such as are not in
        # the batch.
        interrupt.attach(parameters)
    context: llama.llama_context_p | None = llama.llama_init_from_model(model, parameters)
    if context is None:
        llama.llama_model_free(model)
        raise SwarmError(
            Reason.MODEL_TOO_LARGE,
            f"{options.path}: no context of {options.cells} cells could be made "
            f"({log.last_complaints() or 'llama.cpp gives no reason'}). Try a smaller SWARM_CONTEXT.",
        )
    cells, micro_batch = llama.llama_n_ctx(context), llama.llama_n_ubatch(context)
    own_windows = (
        shape.kind is Kind.WINDOWED
        and window_cells(shape.window, cells, sequences + scratch, micro_batch) < cells
    )
    try:
        ranges = shape.kind is Kind.PLAIN
        memory = SequenceMemory(context, shape, sequences if ranges else None, own_windows)
    except ValueError:
        llama.llama_free(context)
        llama.llama_model_free(model)
        raise _unusable(options.path, "it keeps no KV cache, so it cannot generate text") from None
    flash_attention = options.flash_attention is not False and not any(map(log.warned, _NO_FLASH_ATTENTION))
    return Opened(
        model,
        architecture,
        context,
        memory,
        shape,
        sequences,
        sequences if scratch else None,
        outputs,
        flash_attention,
        _fingerprint(options, model, shape, flash_attention),
    )


def _load_model(options: LoadOptions) -> llama.llama_model_p:
    parameters = llama.llama_model_default_params()
    parameters.n_gpu_layers = options.gpu_layers
    parameters.load_mtp = options.mtp
    model: llama.llama_model_p | None = llama.llama_model_load_from_file(
        str(options.path).encode(), parameters
    )
    if model is None:
        raise _unusable(options.path, log.last_complaints() or "llama.cpp gives no reason")
    if llama.llama_model_has_encoder(model) or not llama.llama_model_has_decoder(model):
        llama.llama_model_free(model)
        raise _unusable(options.path, "only decoder models that generate text are served")
    return model


def _parameters(options: LoadOptions, shape: Shape) -> llama.llama_context_params:
    parameters: llama.llama_context_params = llama.llama_context_default_params()
    parameters.n_ctx = options.cells
    # A step holds at least one token of every stream.
    parameters.n_batch = max(options.batch, options.sequences)
    parameters.n_ubatch = min(parameters.n_batch, options.micro_batch)
    if shape.kind is Kind.WINDOWED:
        # In one piece: a second micro-batch may overwrite what a sequence that is cut back to where the
        # first began still sees through its window.
        parameters.n_batch = parameters.n_ubatch = max(parameters.n_ubatch, options.sequences)
    parameters.n_threads = parameters.n_threads_batch = options.threads
    parameters.kv_unified = True
    # Sliding layers keep their windows only; in hybrids all, because there nothing looks after windows.
    parameters.swa_full = shape.kind is Kind.STATEFUL
    parameters.type_k = parameters.type_v = _GGML_TYPES[options.kv_type]
    parameters.flash_attn_type = {
        None: llama.LLAMA_FLASH_ATTN_TYPE_AUTO,
        True: llama.LLAMA_FLASH_ATTN_TYPE_ENABLED,
        False: llama.LLAMA_FLASH_ATTN_TYPE_DISABLED,
    }[options.flash_attention]
    parameters.no_perf = True
    return parameters


def _fingerprint(
    options: LoadOptions, model: llama.llama_model_p, shape: Shape, flash_attention: bool
) -> str:
    facts = {
        "content": options.content_hash or secrets.token_hex(),
        "extra": options.extra,
        "kv_type": options.kv_type,
        # Values lie transposed where it was switched off.
        "flash_attention": [options.flash_attention is not False, flash_attention],
        # All else of rope is as the model's contents have it.
        "rope": [llama.llama_model_rope_type(model), llama.llama_model_rope_freq_scale_train(model)],
        # llama.cpp turns quantised keys and values unless it is told not to.
        "unturned": os.environ.get("LLAMA_ATTN_ROT_DISABLE", ""),
        "kind": shape.kind,
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

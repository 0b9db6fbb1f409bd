"""Who guesses the next tokens, as the settings and the model at hand allow."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from services.common.errors import invalid
from services.common.settings import Settings
from services.inference_worker.backends.llama_cpp import nextn
from services.inference_worker.backends.llama_cpp.backend import LlamaCppBackend
from services.inference_worker.backends.llama_cpp.draft_model import DraftModel
from services.inference_worker.backends.llama_cpp.mtp import MtpBackend, MtpDrafter
from services.inference_worker.backends.llama_cpp.options import LoadOptions
from services.inference_worker.engine.lookup import LookupDrafter
from services.inference_worker.engine.speculation import Pacer
from services.inference_worker.engine.speculator import Speculator
from services.inference_worker.models.gguf_file import GgufFile

# A layer that was trained for the next token but one soon loses the thread.
MTP_GUESSES = 8

log = structlog.get_logger()


def open_backend(file: GgufFile, settings: Settings, options: LoadOptions) -> LlamaCppBackend:
    """The model, with its own prediction layer where that is wanted and there is one.

    Raises what loading raises; INVALID_FIELD for `speculation` when mtp is asked for and cannot be had.
    """
    if settings.speculation == "mtp":
        return MtpBackend(options)
    layers = file.number("nextn_predict_layers", default=0)
    if settings.speculation == "auto" and not settings.draft_model and layers:
        # Asked before loading: a model that is loaded twice takes minutes.
        why = nextn.refusal(file.architecture, layers)
        if not why:
            return MtpBackend(options)
        log.info("model.no_mtp", why=why)
    return LlamaCppBackend(options)


def make_speculator(
    settings: Settings, backend: LlamaCppBackend, draft_options: Callable[[], LoadOptions]
) -> Speculator | None:
    """None: nothing is guessed. `draft_options` finds the draft model, which may take a pull.

    Raises SwarmError INVALID_FIELD when what is asked for by name cannot be had.
    """
    kind = settings.speculation
    if kind == "off":
        return None
    if backend.capacity.rollback == 0:
        # What was decoded cannot be taken back: a wrong guess would stay.
        if kind != "auto":
            raise invalid("speculation", f"speculation: {kind} needs a model whose state can be taken back")
        return None
    if kind == "model" and not settings.draft_model:
        raise invalid("draft_model", "speculation is model, but draft_model names none")
    if isinstance(backend, MtpBackend):
        return Speculator(MtpDrafter(backend), Pacer(most=MTP_GUESSES, free=False))
    if settings.draft_model and kind in ("auto", "model"):
        return Speculator(DraftModel(backend, draft_options()), Pacer(free=False))
    return Speculator(LookupDrafter(), Pacer())

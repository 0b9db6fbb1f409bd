"""Who guesses the next tokens, as the settings and the model at hand allow."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from services.common.errors import invalid
from services.common.settings import Settings
from services.inference_worker.backends.llama_cpp.backend import LlamaCppBackend
from services.inference_worker.backends.llama_cpp.draft_model import DraftModel
from services.inference_worker.backends.llama_cpp.options import LoadOptions
from services.inference_worker.engine.lookup import LookupDrafter
from services.inference_worker.engine.speculation import Pacer
from services.inference_worker.engine.speculator import Speculator

log = structlog.get_logger()


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
    if settings.draft_model and kind in ("auto", "model"):
        return Speculator(DraftModel(backend, draft_options()), Pacer(free=False))
    return Speculator(LookupDrafter(), Pacer())

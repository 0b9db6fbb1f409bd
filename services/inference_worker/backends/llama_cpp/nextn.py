"""Whether a model can predict several tokens at once, and the two calls of llama.cpp that it takes.

llama.cpp exports them as staging functions of C++, so a build may lack them or name them otherwise.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

import llama_cpp.llama_cpp as llama
import numpy as np
import numpy.typing as npt

Hidden = npt.NDArray[np.float32]
"""Hidden states, one row per token."""

# llama.cpp has a prediction graph for more of them: these are plain attention with one layer for prediction,
# for which it was tried. Any other may end the process.
ARCHITECTURES = frozenset(("glm4moe",))
_SET = "_Z26llama_set_embeddings_nextnP13llama_contextbb"
_GET = "_Z26llama_get_embeddings_nextnP13llama_context"


def refusal(architecture: str, layers: int) -> str:
    """Why a model with so many prediction layers cannot be used for it; empty: it can."""
    if layers == 0:
        return "the model has no layer that predicts further tokens"
    if layers > 1:
        return f"the model has {layers} prediction layers, one is supported"
    if architecture not in ARCHITECTURES:
        return f"prediction is not supported for the architecture {architecture!r}"
    if _functions() is None:
        return "this build of llama.cpp does not hand out the hidden states that it takes"
    return ""


@cache
def _functions() -> tuple[Callable[..., None], Callable[..., ctypes._Pointer[ctypes.c_float]]] | None:
    library = llama._lib
    if not hasattr(library, _SET) or not hasattr(library, _GET):
        return None
    choose, get = getattr(library, _SET), getattr(library, _GET)
    choose.argtypes, choose.restype = [ctypes.c_void_p, ctypes.c_bool, ctypes.c_bool], None
    get.argtypes, get.restype = [ctypes.c_void_p], ctypes.POINTER(ctypes.c_float)
    return choose, get


def keep_hidden(context: llama.llama_context_p, outputs_only: bool) -> None:
    """From now on decodes keep hidden states: of all tokens, or of those that yield logits."""
    functions = _functions()
    assert functions is not None, "asked before `refusal`"
    functions[0](context, True, outputs_only)


def hidden(context: llama.llama_context_p, rows: int, width: int) -> Hidden:
    """A view of the last decode's hidden states, in the order of the batch; valid until the next one."""
    functions = _functions()
    assert functions is not None, "asked before `refusal`"
    pointer = functions[1](context)
    if not pointer:
        raise RuntimeError("llama.cpp kept no hidden states")
    return np.ctypeslib.as_array(pointer, (rows, width))

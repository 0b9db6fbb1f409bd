"""Does a model fit, and how long a context and how many KV cells can it have?"""

from __future__ import annotations

from dataclasses import dataclass

from services.common.errors import Reason, SwarmError
from services.inference_worker.models.costs import CELLS_STEP, Costs, Terms
from services.inference_worker.models.costs import costs as costs_of
from services.inference_worker.models.gguf_file import GgufFile
from services.inference_worker.models.memory import Memory

# A chosen context leaves this part of the memory to everybody else.
_SHARE = 0.8
# Less than this (or than the model was trained for) is of no use to a coding agent; better to refuse.
_LEAST_CONTEXT = 4_096
# Cells that requests share where the memory is cheap, so that short contexts do not queue for one another.
_SHARED_CELLS = 16_384

_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Size:
    """`context_length` tokens at most for one candidate; `cells` for all together; `needed` bytes."""

    context_length: int
    cells: int
    needed: int


def plan(file: GgufFile, context: int, terms: Terms, memory: Memory) -> Size:
    """`context` is the number of cells that the user wants, 0: as model and memory allow.

    Raises SwarmError MODEL_TOO_LARGE with the numbers, MODEL_FILE_INVALID when the metadata lacks what
    must be known.
    """
    trained = file.number("context_length")
    costs = costs_of(file, terms)
    if context:
        if costs.total(context) > memory.bytes:
            raise _too_large(file, costs, context, memory)
        return Size(min(context, trained), context, costs.total(context))

    least = min(trained, _LEAST_CONTEXT)
    if costs.total(least) > memory.bytes:
        raise _too_large(file, costs, least, memory)
    comfortable = costs.cells_within(int(memory.bytes * _SHARE))
    length = max(least, min(trained, comfortable))
    cells = max(length, min(comfortable, terms.sequences * length, _SHARED_CELLS))
    return Size(length, cells, costs.total(cells))


def _too_large(file: GgufFile, costs: Costs, cells: int, memory: Memory) -> SwarmError:
    most = costs.cells_within(memory.bytes)
    hint = (
        f"A context of up to {most} would fit: set SWARM_CONTEXT={most}."
        if most >= CELLS_STEP
        else "A smaller model or quantisation is needed."
    )
    return SwarmError(
        Reason.MODEL_TOO_LARGE,
        f"{file.path.name} does not fit: it needs {costs.total(cells) / _GIB:.1f} GiB "
        f"(weights {costs.weights / _GIB:.1f}, context of {cells} tokens "
        f"{costs.kv(cells) / _GIB:.1f}, working memory {costs.fixed / _GIB:.1f}), but there are "
        f"{memory.bytes / _GIB:.1f} GiB ({memory.source}). {hint}",
        details={"needed": str(costs.total(cells)), "available": str(memory.bytes)},
    )

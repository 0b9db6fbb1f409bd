"""How a model is run on this machine: threads, batches, flash attention, KV type, room for logits.

A pure choice from what the settings ask for, what the machine has and what the model costs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from services.common.errors import Reason, SwarmError, invalid
from services.common.settings import Settings
from services.inference_worker.backends.llama_cpp.options import (
    KV_BLOCK,
    SPARE_OUTPUTS,
    KvType,
)
from services.inference_worker.models import sizing
from services.inference_worker.models.costs import Terms, vocabulary_size
from services.inference_worker.models.gguf_file import GgufFile
from services.inference_worker.models.memory import Memory
from services.inference_worker.models.sizing import Size

# With so many cores one is left to the other services, if there are no hyperthreads for them: a thread that
# shares its core makes all the others wait at every layer, while decoding hardly needs the last core.
_CORES_TO_SPARE = 8
# llama.cpp's own; more only takes memory, and less makes prefill slower. Not so on processors: there what 512
# tokens leave between two layers falls out of the caches, and prompts are an eighth slower.
_MICRO_BATCH = 512
_MICRO_BATCH_ON_PROCESSOR = 128
# Agents send 7,000 to 30,000 tokens: where f16 leaves no room for that, half the size is worth its rounding.
_COMFORTABLE_CONTEXT = 32_768
# Rows of logits beyond one for each sequence take at most this part of the memory.
_OUTPUTS_SHARE = 20
# Architectures that llama.cpp runs without flash attention.
_NO_FLASH_ATTENTION = frozenset(("grok",))


@dataclass(frozen=True, slots=True)
class Machine:
    """`cores` that compute and may be used; `threads` that the system can run at once on what it has.

    `offloads`: llama.cpp has something better than processors to compute with.
    """

    cores: int
    threads: int
    offloads: bool = False


@dataclass(frozen=True, slots=True)
class Choices:
    """What is in use. `speculation`: none, lookup, model or mtp. `reuse`: ranges or whole."""

    threads: int
    batch: int
    micro_batch: int
    flash_attention: bool
    kv_type: str
    gpu_layers: int
    speculation: str = "none"
    reuse: str = "ranges"


@dataclass(frozen=True, slots=True)
class Tuning:
    """`choices` as they are wished for; `flash_attention` None: where llama.cpp can. `why` in words."""

    choices: Choices
    size: Size
    kv_type: KvType
    flash_attention: bool | None
    outputs: int
    why: str


def choose(file: GgufFile, settings: Settings, machine: Machine, memory: Memory) -> Tuning:
    """Raises SwarmError: INVALID_FIELD for settings that exclude each other, else as `sizing.plan` does."""
    flash = _flash_attention(file, settings)
    batch = max(settings.batch, settings.slots)
    offloads = machine.offloads and settings.gpu_layers != 0
    usual = _MICRO_BATCH if offloads else _MICRO_BATCH_ON_PROCESSOR
    micro_batch = min(batch, settings.micro_batch or usual)
    outputs = _outputs(file, settings.slots, memory)

    def size(kv_type: KvType) -> Size:
        terms = Terms(settings.slots, micro_batch, kv_type, flash is not False, outputs)
        return sizing.plan(file, settings.context, terms, memory)

    kv_type, planned, why = _kv_type(file, settings, flash, size)
    choices = Choices(
        threads=settings.threads or _threads(machine),
        batch=batch,
        micro_batch=micro_batch,
        flash_attention=flash is not False,
        kv_type=kv_type.value,
        gpu_layers=settings.gpu_layers,
    )
    return Tuning(choices, planned, kv_type, flash, outputs, why)


def _threads(machine: Machine) -> int:
    spare = machine.cores >= _CORES_TO_SPARE and machine.threads <= machine.cores
    return machine.cores - spare


def _flash_attention(file: GgufFile, settings: Settings) -> bool | None:
    match settings.flash_attention:
        case "on":
            return True
        case "off":
            return False
    return False if file.architecture in _NO_FLASH_ATTENTION else None


def _kv_type(
    file: GgufFile, settings: Settings, flash: bool | None, size: Callable[[KvType], Size]
) -> tuple[KvType, Size, str]:
    """The KV type, what then fits, and why it was taken."""
    obstacle = _obstacle(file, flash)
    if settings.kv_type != "auto":
        wanted = KvType(settings.kv_type)
        if wanted is not KvType.F16 and obstacle:
            raise invalid("kv_type", f"kv_type = {wanted} is not possible: {obstacle}")
        return wanted, size(wanted), "kv type as set"
    try:
        plain = size(KvType.F16)
    except SwarmError as error:
        if error.reason is not Reason.MODEL_TOO_LARGE or obstacle:
            raise
        return KvType.Q8_0, size(KvType.Q8_0), "in f16 the KV cells do not fit the memory"
    enough = min(file.number("context_length"), _COMFORTABLE_CONTEXT)
    if settings.context or plain.context_length >= enough or obstacle:
        return KvType.F16, plain, "kv in f16 fits" if not obstacle else f"kv stays f16: {obstacle}"
    halved = size(KvType.Q8_0)
    if halved.context_length <= plain.context_length:
        return KvType.F16, plain, "q8_0 would bring no longer context"
    return KvType.Q8_0, halved, f"memory is short, in f16 the context would be {plain.context_length}"


def _obstacle(file: GgufFile, flash: bool | None) -> str:
    """Why KV cannot be quantised; empty: it can."""
    if flash is False:
        return "quantised KV needs flash attention"
    heads = max(1, file.number("attention.head_count", default=1, least=0))
    head = file.number("embedding_length") // heads
    for key in ("attention.key_length", "attention.value_length"):
        size = file.number(key, default=max(1, head))
        if size % KV_BLOCK:
            return f"its heads of {size} elements are no multiple of {KV_BLOCK}"
    return ""


def _outputs(file: GgufFile, sequences: int, memory: Memory) -> int:
    """Rows of logits: one for each sequence, and spare ones for drafts as far as they are cheap."""
    row = 8 * vocabulary_size(file)
    affordable = memory.bytes // _OUTPUTS_SHARE // row if row else SPARE_OUTPUTS
    # One more than the sequences: llama.cpp wants room for its scratch sequence too.
    return sequences + 1 + max(0, min(SPARE_OUTPUTS, affordable - sequences - 1))

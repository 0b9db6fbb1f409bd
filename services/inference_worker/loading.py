"""From a configured model to a worker that has answered once: pull, check, size, load, warm up."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from time import monotonic

import structlog

from services.common.chat import ModelInfo
from services.common.errors import Reason, SwarmError
from services.common.settings import Settings
from services.inference_worker.backends.base import Backend, SamplerSpec
from services.inference_worker.backends.llama_cpp.backend import LlamaCppBackend
from services.inference_worker.backends.llama_cpp.devices import free_gpu_memory, offloads
from services.inference_worker.backends.llama_cpp.options import LoadOptions
from services.inference_worker.chat import detect
from services.inference_worker.chat.prompt import Prompt
from services.inference_worker.chat.template import ChatTemplate
from services.inference_worker.drafters import make_speculator, open_backend
from services.inference_worker.engine.jobs import Ended, Output, Submission
from services.inference_worker.engine.loop import Engine
from services.inference_worker.engine.sampling import Recommendation
from services.inference_worker.engine.scheduler import Limits
from services.inference_worker.engine.sharing import Sharing, Usage
from services.inference_worker.engine.speculator import Speculator
from services.inference_worker.instructions_file import InstructionsFile
from services.inference_worker.kv.blocks import BLOCK
from services.inference_worker.kv.disk import DiskTier
from services.inference_worker.kv.store import KvStore
from services.inference_worker.models import cores, gguf_file, keeping, memory
from services.inference_worker.models import load as load_of
from services.inference_worker.models.content_hash import content_hash
from services.inference_worker.models.pull import pull
from services.inference_worker.models.reference import HubFile, parse
from services.inference_worker.models.tuning import Choices, Machine, choose
from services.inference_worker.worker import Worker

_TEMPLATE = "tokenizer.chat_template"
# Least time in seconds between two progress lines of a pull.
_REPORT_INTERVAL = 1.0
_WARM_UP_TIMEOUT = 120.0
# Longest time in seconds for measuring what steps cost.
_CALIBRATION = 0.5
# Longest wait for the last states to be written.
_SAVE_TIMEOUT = 5.0

log = structlog.get_logger()


class Loaded:
    """A worker and what must be closed with it."""

    def __init__(
        self,
        worker: Worker,
        engine: Engine,
        backend: Backend,
        store: KvStore,
        speculator: Speculator | None,
    ) -> None:
        self.worker = worker
        self._engine = engine
        self._backend = backend
        self._store = store
        self._speculator = speculator

    def close(self) -> None:
        """Blocks until the engine's thread has ended and what it computed is on disk."""
        self._engine.close()
        self._store.close(_SAVE_TIMEOUT)
        if self._speculator is not None:
            self._speculator.close()
        self._backend.close()


def load(
    settings: Settings, name: str, on_failure: Callable[[BaseException], None], stop: threading.Event
) -> Loaded:
    """Blocks until the model has answered its first request. `stop` ends a pull.

    `on_failure` hears when the engine is lost later on. Raises SwarmError with what is wrong with the model.
    """
    detect.check(settings.tool_format)
    path = _find("model", settings.model, settings, stop)
    file = gguf_file.read(path)
    _refuse_other_kinds(file)
    hashed = _hash(file, settings)
    backend, context_length, choices = _load_backend(file, hashed, settings)
    store = _make_store(settings, backend)
    speculator = make_speculator(settings, backend, lambda: _draft_options(settings, context_length, stop))
    choices = replace(
        choices,
        speculation="none" if speculator is None else speculator.name,
        reuse=backend.capacity.reuse.value,
    )
    engine = Engine(
        backend,
        context_length,
        settings.queue,
        Limits.of(backend.capacity, stall=settings.stall),
        on_failure=on_failure,
        store=store,
        speculator=speculator,
        sharing=_make_sharing(choices.threads),
        calibrate=_CALIBRATION,
    )
    detected, prompt = _make_prompt(file, backend, settings)
    model = ModelInfo(
        id=gguf_file.model_name(path),
        context_length=context_length,
        tool_format=detected.format.name,
        tool_format_source=detected.how,
        created_unix=int(path.stat().st_mtime),
        display_name=str(file.metadata.get("general.name") or gguf_file.model_name(path)),
        fingerprint=fingerprint(hashed, detected.format.name),
    )
    worker = Worker(
        name,
        model,
        backend,
        engine,
        prompt,
        detected.format,
        Recommendation.from_metadata(file.metadata),
        choices,
    )
    engine.start()
    _warm_up(engine, backend)
    log.info(
        "model.ready",
        model=model.id,
        format=detected.format.name,
        format_source=detected.how,
        context=context_length,
    )
    return Loaded(worker, engine, backend, store, speculator)


def _make_prompt(
    file: gguf_file.GgufFile, backend: Backend, settings: Settings
) -> tuple[detect.Detected, Prompt]:
    """How the model calls tools, and how it is told of them; it may bring a template of its own for tools."""
    name = gguf_file.model_name(file.path)

    def template(source: str) -> ChatTemplate:
        return ChatTemplate(source, backend.vocabulary.bos, backend.vocabulary.eos, name)

    plain = template(file.text(_TEMPLATE))
    for_tools = file.metadata.get(f"{_TEMPLATE}.tool_use")
    chosen = template(for_tools) if isinstance(for_tools, str) else plain
    names = (str(file.metadata.get("general.name", "")), file.path.name)
    detected = detect.detect(chosen, names, settings.tool_format)
    text = InstructionsFile(settings.tool_instructions or settings.home / "tool_instructions.txt")
    return detected, Prompt(chosen, detected.format, text.read, plain)


def _make_sharing(threads: int) -> tuple[Sharing, Callable[[], Usage]]:
    processors = load_of.processors()
    return Sharing(threads, len(processors)), lambda: load_of.usage(processors)


def _machine() -> Machine:
    return Machine(cores.usable(), cores.allowed(), offloads())


def _find(key: str, value: str, settings: Settings, stop: threading.Event) -> Path:
    """The file that the setting `key` means, pulled if it must be."""
    reference = parse(value, key)
    if isinstance(reference, HubFile):
        return pull(reference, settings.home / "models", _Progress(), stop=stop)
    return reference.path


def _draft_options(settings: Settings, context_length: int, stop: threading.Event) -> LoadOptions:
    """How the draft model is loaded: like the model, with room for one whole context."""
    file = gguf_file.read(_find("draft_model", settings.draft_model, settings, stop))
    draft = settings.model_copy(update={"context": context_length})
    tuning = choose(file, draft, _machine(), memory.available())
    return LoadOptions(
        path=file.path,
        cells=tuning.size.cells,
        sequences=settings.slots,
        batch=tuning.choices.batch,
        threads=tuning.choices.threads,
        gpu_layers=settings.gpu_layers,
        micro_batch=tuning.choices.micro_batch,
        outputs=tuning.outputs,
        flash_attention=tuning.flash_attention,
        kv_type=tuning.kv_type,
    )


def _make_store(settings: Settings, backend: Backend) -> KvStore:
    folder = settings.home / "kv"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    size = keeping.budget(settings.kv_ram, settings.kv_disk, memory.available().bytes, folder)
    log.info("kv.store", ram_megabytes=size.ram >> 20, disk_megabytes=size.disk >> 20)
    disk = DiskTier(folder, size.disk) if size.disk else None
    return KvStore(backend.fingerprint, size.ram, disk)


def _hash(file: gguf_file.GgufFile, settings: Settings) -> str:
    started = monotonic()
    hashed = content_hash(file.parts, settings.home / "models" / "hashes.json")
    log.info("model.hashed", seconds=round(monotonic() - started, 2))
    return hashed


def fingerprint(content: str, format: str) -> str:
    """What must be equal for one worker to go on with another's answer, hashed.

    `content` is the hash of the model's file, with its tokenizer and template; `format` how calls are read.
    How states are kept does not count: the tokens go over, and their state is computed again.
    """
    return hashlib.sha256(f"local-swarm answer 1\0{content}\0{format}".encode()).hexdigest()


def _load_backend(
    file: gguf_file.GgufFile, hashed: str, settings: Settings
) -> tuple[LlamaCppBackend, int, Choices]:
    free = memory.available()
    if settings.gpu_layers != 0 and (on_gpu := free_gpu_memory()):
        free = replace(free, bytes=free.bytes + on_gpu, source=f"{free.source} and free GPU memory")
    tuning = choose(file, settings, _machine(), free)
    choices, size = tuning.choices, tuning.size
    log.info(
        "model.load",
        path=str(file.path),
        context=size.context_length,
        cells=size.cells,
        megabytes=size.needed >> 20,
        threads=choices.threads,
        batch=choices.batch,
        micro_batch=choices.micro_batch,
        kv_type=choices.kv_type,
        why=tuning.why,
    )
    started = monotonic()
    backend = open_backend(
        file,
        settings,
        LoadOptions(
            path=file.path,
            cells=size.cells,
            sequences=settings.slots,
            batch=choices.batch,
            threads=choices.threads,
            gpu_layers=choices.gpu_layers,
            micro_batch=choices.micro_batch,
            outputs=tuning.outputs,
            flash_attention=tuning.flash_attention,
            kv_type=tuning.kv_type,
            content_hash=hashed,
            extra=_kept_with(file),
        ),
    )
    log.info(
        "model.loaded",
        seconds=round(monotonic() - started, 2),
        flash_attention=backend.flash_attention,
    )
    choices = replace(choices, batch=backend.capacity.batch, flash_attention=backend.flash_attention)
    return backend, size.context_length, choices


def _kept_with(file: gguf_file.GgufFile) -> str:
    """What kept states depend on beside model and runtime: the blocks they are cut into, and the template."""
    template = str(file.metadata.get(_TEMPLATE, ""))
    return f"{BLOCK} {hashlib.sha256(template.encode()).hexdigest()}"


def _refuse_other_kinds(file: gguf_file.GgufFile) -> None:
    kind = file.metadata.get("general.type", "model")
    if kind != "model":
        raise gguf_file.invalid_file(file.path, f"it is of type {kind!r}, not a model of its own")
    if _TEMPLATE not in file.metadata:
        raise gguf_file.invalid_file(
            file.path, "it has no chat template (a base model?); an instruction-tuned model is needed"
        )


def _warm_up(engine: Engine, backend: Backend) -> None:
    """One short answer: pages the weights in and proves that the engine works. Raises SwarmError."""
    over: Future[SwarmError | None] = Future()

    def sink(outputs: Sequence[Output]) -> bool:
        if isinstance(last := outputs[-1], Ended):
            over.set_result(last.error)
        return True

    prompt = backend.tokenize("warm up")
    engine.submit(Submission(prompt, [SamplerSpec(temperature=0)], sink, max_tokens=2))
    try:
        error = over.result(_WARM_UP_TIMEOUT)
    except TimeoutError:
        error = SwarmError(Reason.DEADLINE_EXCEEDED, f"the model gave no answer in {_WARM_UP_TIMEOUT:g} s")
    if error is not None:
        raise error


class _Progress:
    """Logs a pull's progress, not at every chunk."""

    def __init__(self) -> None:
        self._last = 0.0

    def __call__(self, file: str, done: int, total: int) -> None:
        now = monotonic()
        if done < total and now - self._last < _REPORT_INTERVAL:
            return
        self._last = now
        log.info("model.pull", file=file, done=done, total=total)

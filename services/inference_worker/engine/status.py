"""What the engine tells about itself. Made on its thread, read by all others."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from services.inference_worker.backends.base import Backend
from services.inference_worker.engine.admission import Admission
from services.inference_worker.engine.meter import Meter, Seconds
from services.inference_worker.engine.sequences import Sequences
from services.inference_worker.engine.shelf import Moved, Shelf
from services.inference_worker.kv.status import StoreStatus


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """`cells_used` without idle prefixes, which give way at once. Token counts only grow."""

    sequences_total: int
    sequences_busy: int
    cells_total: int
    cells_used: int
    prompt_tokens: int
    generated_tokens: int
    drafted_tokens: int
    accepted_tokens: int
    suspensions: int
    steps: int
    prefill_per_second: float
    decode_per_second: float
    store: StoreStatus
    cached: Moved = field(default_factory=Moved)
    seconds: Seconds = field(default_factory=Seconds)

    @property
    def cached_tokens(self) -> int:
        """Tokens of prompts that were not computed."""
        return self.cached.total

    @classmethod
    def of(
        cls, backend: Backend, sequences: Sequences, shelf: Shelf, meter: Meter, admission: Admission
    ) -> EngineStatus:
        return cls(
            sequences_total=backend.capacity.sequences,
            sequences_busy=sequences.busy,
            cells_total=sequences.cells_total,
            cells_used=sequences.cells_busy(),
            prompt_tokens=meter.prompt_tokens,
            generated_tokens=meter.generated_tokens,
            drafted_tokens=meter.drafted_tokens,
            accepted_tokens=meter.accepted_tokens,
            suspensions=admission.suspensions,
            steps=meter.steps,
            prefill_per_second=meter.prefill.per_second,
            decode_per_second=meter.decode.per_second,
            store=shelf.store.status(),
            cached=replace(shelf.moved),
            seconds=replace(meter.seconds),
        )

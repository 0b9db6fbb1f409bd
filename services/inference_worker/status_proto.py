"""The worker's status in the words of `swarm.inference.v1`."""

from __future__ import annotations

from services.inference_worker.engine.status import EngineStatus
from services.inference_worker.kv.status import TierStatus
from services.inference_worker.models.tuning import Choices
from swarm.inference.v1 import inference_pb2 as pb


def status_to_proto(
    worker: str, status: EngineStatus, waiting: int, queue: int, choices: Choices
) -> pb.GetStatusResponse:
    """`waiting` of at most `queue` requests are in the queue."""
    seconds = status.seconds
    return pb.GetStatusResponse(
        worker=worker,
        slots_total=status.sequences_total,
        slots_busy=status.sequences_busy,
        queue_length=waiting,
        queue_capacity=queue,
        cells_total=status.cells_total,
        cells_used=status.cells_used,
        prompt_tokens_total=status.prompt_tokens,
        cached_tokens_total=status.cached_tokens,
        generated_tokens_total=status.generated_tokens,
        cached_live_tokens_total=status.cached.live,
        cached_ram_tokens_total=status.cached.ram,
        cached_disk_tokens_total=status.cached.disk,
        ram=_tier_to_proto(status.store.ram),
        disk=_tier_to_proto(status.store.disk),
        prefill_tokens_per_second=status.prefill_per_second,
        decode_tokens_per_second=status.decode_per_second,
        drafted_tokens_total=status.drafted_tokens,
        accepted_tokens_total=status.accepted_tokens,
        suspensions_total=status.suspensions,
        steps_total=status.steps,
        step_seconds=pb.StepSeconds(
            decode=seconds.decode,
            sample=seconds.sample,
            emit=seconds.emit,
            move=seconds.move,
            python=seconds.python,
        ),
        choices=choices_to_proto(choices),
    )


def choices_to_proto(choices: Choices) -> pb.EngineChoices:
    return pb.EngineChoices(
        threads=choices.threads,
        batch=choices.batch,
        micro_batch=choices.micro_batch,
        flash_attention=choices.flash_attention,
        kv_type=choices.kv_type,
        gpu_layers=choices.gpu_layers,
        speculation=choices.speculation,
        reuse=choices.reuse,
    )


def _tier_to_proto(tier: TierStatus | None) -> pb.StoreStatus | None:
    if tier is None:
        return None
    return pb.StoreStatus(
        bytes_used=tier.bytes_used,
        bytes_limit=tier.bytes_limit,
        blocks=tier.blocks,
        evicted_total=tier.evicted,
        refused_total=tier.refused,
    )

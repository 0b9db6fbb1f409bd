"""What a worker's status says, in a user's words."""

from __future__ import annotations

from rich.table import Table

from swarm.inference.v1 import inference_pb2 as pb

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def worker_table(title: str, status: pb.GetStatusResponse) -> Table:
    table = Table(title=title, title_justify="left", show_header=False)
    for name, text in rows(status):
        table.add_row(name, text)
    return table


def rows(status: pb.GetStatusResponse) -> list[tuple[str, str]]:
    """Name and text of each line. Counts are since the worker's start."""
    return [
        (
            "slots",
            f"{status.slots_busy} of {status.slots_total} busy; "
            f"{status.queue_length} of {status.queue_capacity} waiting",
        ),
        ("cells", f"{status.cells_used:,} of {status.cells_total:,} in use ({_suspensions(status)})"),
        (
            "speed",
            f"prefill {status.prefill_tokens_per_second:,.1f} tokens/s, "
            f"decode {status.decode_tokens_per_second:,.1f} tokens/s",
        ),
        ("prompts", f"{status.prompt_tokens_total:,} tokens, reused {_reused(status)}"),
        ("answers", f"{status.generated_tokens_total:,} tokens, guesses {_guesses(status)}"),
        ("kept in RAM", _tier(status.ram)),
        ("kept on disk", _tier(status.disk)),
        ("chosen", _choices(status.choices)),
    ]


def _suspensions(status: pb.GetStatusResponse) -> str:
    count = status.suspensions_total
    return f"{count:,} answer{'s' if count != 1 else ''} had to wait for cells"


def _reused(status: pb.GetStatusResponse) -> str:
    """The hit rate: the part of all prompts that was not computed, and where it was found."""
    total = status.prompt_tokens_total
    tiers = (
        ("live", status.cached_live_tokens_total),
        ("RAM", status.cached_ram_tokens_total),
        ("disk", status.cached_disk_tokens_total),
    )
    parts = ", ".join(f"{name} {_share(tokens, total)}" for name, tokens in tiers)
    return f"{_share(status.cached_tokens_total, total)} ({parts})"


def _guesses(status: pb.GetStatusResponse) -> str:
    if not status.drafted_tokens_total:
        return "none"
    right, made = status.accepted_tokens_total, status.drafted_tokens_total
    return f"{_share(right, made)} right ({right:,} of {made:,})"


def _tier(tier: pb.StoreStatus) -> str:
    if not tier.bytes_limit:
        return "off"
    lost = f"{tier.evicted_total:,} evicted, {tier.refused_total:,} refused"
    return f"{_size(tier.bytes_used)} of {_size(tier.bytes_limit)}, {tier.blocks:,} blocks ({lost})"


def _choices(choices: pb.EngineChoices) -> str:
    flash = "on" if choices.flash_attention else "off"
    layers = "all that fit" if choices.gpu_layers < 0 else str(choices.gpu_layers)
    return (
        f"{choices.threads} threads, batch {choices.batch}/{choices.micro_batch}, flash attention {flash}, "
        f"KV {choices.kv_type or 'unknown'}, GPU layers {layers}, "
        f"speculation {choices.speculation or 'none'}, reuse {choices.reuse or 'unknown'}"
    )


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _size(count: float) -> str:
    unit = 0
    while count >= 1024 and unit < len(_UNITS) - 1:
        count /= 1024
        unit += 1
    return f"{count:.{1 if unit else 0}f} {_UNITS[unit]}"

"""The lines that a user reads about a worker."""

from __future__ import annotations

import io

from rich.console import Console

from services.cli.worker_table import rows, worker_table
from swarm.inference.v1 import inference_pb2 as pb


def busy() -> pb.GetStatusResponse:
    return pb.GetStatusResponse(
        worker="Zeus",
        slots_total=16,
        slots_busy=3,
        queue_length=2,
        queue_capacity=64,
        cells_total=65_536,
        cells_used=12_700,
        prompt_tokens_total=10_000,
        cached_tokens_total=9_500,
        cached_live_tokens_total=1_000,
        cached_ram_tokens_total=8_000,
        cached_disk_tokens_total=500,
        generated_tokens_total=1_234,
        drafted_tokens_total=200,
        accepted_tokens_total=150,
        suspensions_total=1,
        prefill_tokens_per_second=1_512.34,
        decode_tokens_per_second=31.26,
        ram=pb.StoreStatus(bytes_used=3 << 29, bytes_limit=4 << 30, blocks=1_300, evicted_total=7),
        disk=pb.StoreStatus(bytes_used=500, bytes_limit=32 << 30, blocks=2, refused_total=1),
        choices=pb.EngineChoices(
            threads=2,
            batch=512,
            micro_batch=256,
            flash_attention=True,
            kv_type="f16",
            speculation="lookup",
            reuse="ranges",
        ),
    )


def test_the_lines_of_a_busy_worker() -> None:
    assert dict(rows(busy())) == {
        "slots": "3 of 16 busy; 2 of 64 waiting",
        "cells": "12,700 of 65,536 in use (1 answer had to wait for cells)",
        "speed": "prefill 1,512.3 tokens/s, decode 31.3 tokens/s",
        "prompts": "10,000 tokens, reused 95.0 % (live 10.0 %, RAM 80.0 %, disk 5.0 %)",
        "answers": "1,234 tokens, guesses 75.0 % right (150 of 200)",
        "kept in RAM": "1.5 GiB of 4.0 GiB, 1,300 blocks (7 evicted, 0 refused)",
        "kept on disk": "500 B of 32.0 GiB, 2 blocks (0 evicted, 1 refused)",
        "chosen": "2 threads, batch 512/256, flash attention on, KV f16, GPU layers 0, speculation lookup, "
        "reuse ranges",
    }


def test_nothing_done_yet_divides_by_nothing() -> None:
    lines = dict(rows(pb.GetStatusResponse(slots_total=16)))
    assert lines["prompts"] == "0 tokens, reused - (live -, RAM -, disk -)"
    assert lines["answers"] == "0 tokens, guesses none"


def test_a_tier_without_a_limit_is_off() -> None:
    status = busy()
    status.ClearField("disk")
    status.ram.bytes_limit = 0
    lines = dict(rows(status))
    assert (lines["kept in RAM"], lines["kept on disk"]) == ("off", "off")


def test_layers_that_were_not_counted_are_all_that_fit() -> None:
    status = busy()
    status.choices.gpu_layers = -1
    assert "GPU layers all that fit" in dict(rows(status))["chosen"]


def test_the_table_shows_every_line() -> None:
    text = io.StringIO()
    Console(file=text, width=160).print(worker_table("Zeus at home", busy()))
    assert "Zeus at home" in text.getvalue()
    assert all(name in text.getvalue() and line in text.getvalue() for name, line in rows(busy()))

"""The metrics as Prometheus reads them, over HTTP and from the collector itself."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from services.common.errors import Reason, SwarmError
from services.inference_worker.metrics import MetricsServer, Read, StatusCollector
from swarm.inference.v1 import inference_pb2 as pb

HOST = "127.0.0.1"
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def status() -> pb.GetStatusResponse:
    """Every number is another one, so that none can stand in another's place."""
    return pb.GetStatusResponse(
        worker="Zeus",
        slots_total=16,
        slots_busy=3,
        queue_length=2,
        queue_capacity=64,
        cells_total=8192,
        cells_used=700,
        prompt_tokens_total=9000,
        cached_tokens_total=6000,
        generated_tokens_total=400,
        cached_live_tokens_total=1000,
        cached_ram_tokens_total=2000,
        cached_disk_tokens_total=3000,
        ram=pb.StoreStatus(bytes_used=11, bytes_limit=12, blocks=13, evicted_total=14, refused_total=15),
        disk=pb.StoreStatus(bytes_used=21, bytes_limit=22, blocks=23, evicted_total=24, refused_total=25),
        prefill_tokens_per_second=512.5,
        decode_tokens_per_second=31.25,
        drafted_tokens_total=90,
        accepted_tokens_total=60,
        suspensions_total=1,
        steps_total=500,
        step_seconds=pb.StepSeconds(decode=8.5, sample=0.4, emit=0.3, move=0.2, python=0.1),
        choices=pb.EngineChoices(
            threads=2,
            batch=512,
            micro_batch=256,
            flash_attention=True,
            kv_type="f16",
            gpu_layers=0,
            speculation="lookup",
            reuse="ranges",
        ),
    )


def parsed(text: str) -> tuple[Samples, dict[str, str]]:
    """Samples by name and labels, and the type of each family."""
    families = list(text_string_to_metric_families(text))
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }
    return samples, {family.name: family.type for family in families}


def collected(read: Read) -> tuple[Samples, dict[str, str]]:
    registry = CollectorRegistry()
    registry.register(StatusCollector(read))
    return parsed(generate_latest(registry).decode())


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def test_every_number_of_the_status_has_its_metric() -> None:
    samples, types = collected(status)

    def one(name: str, **labels: str) -> float:
        return samples[(f"swarm_worker_{name}", tuple(sorted(labels.items())))]

    assert one("ready") == 1
    assert (one("slots"), one("slots_busy")) == (16, 3)
    assert (one("queue_length"), one("queue_capacity")) == (2, 64)
    assert (one("cells"), one("cells_used")) == (8192, 700)
    assert one("prompt_tokens_total") == 9000
    tiers = [one("cached_tokens_total", tier=tier) for tier in ("live", "ram", "disk")]
    assert tiers == [1000, 2000, 3000]
    assert one("generated_tokens_total") == 400
    assert (one("drafted_tokens_total"), one("accepted_tokens_total")) == (90, 60)
    assert (one("suspensions_total"), one("steps_total")) == (1, 500)
    parts = [one("step_seconds_total", part=part) for part in ("decode", "sample", "emit", "move", "python")]
    assert parts == [8.5, 0.4, 0.3, 0.2, 0.1]
    speeds = [one("tokens_per_second", phase=phase) for phase in ("prefill", "decode")]
    assert speeds == [512.5, 31.25]
    for first, tier in ((11, "ram"), (21, "disk")):
        names = ("bytes", "bytes_limit", "blocks", "evicted_total", "refused_total")
        assert [one(f"kv_tier_{name}", tier=tier) for name in names] == list(range(first, first + 5))
    assert types["swarm_worker_generated_tokens"] == "counter"
    assert types["swarm_worker_cells_used"] == "gauge"


def test_what_was_chosen_is_an_info_metric() -> None:
    samples, _ = collected(status)
    ((labels, value),) = [(dict(key[1]), value) for key, value in samples.items() if key[0].endswith("_info")]
    assert value == 1
    assert labels == {
        "worker": "Zeus",
        "threads": "2",
        "batch": "512",
        "micro_batch": "256",
        "flash_attention": "true",
        "kv_type": "f16",
        "gpu_layers": "0",
        "speculation": "lookup",
        "reuse": "ranges",
    }


def test_a_tier_that_is_not_there_is_not_told() -> None:
    without = status()
    without.ClearField("disk")
    samples, _ = collected(lambda: without)
    tiers = {dict(labels)["tier"] for name, labels in samples if name.startswith("swarm_worker_kv_tier")}
    assert tiers == {"ram"}


def test_before_the_model_is_loaded_only_that_is_told() -> None:
    samples, _ = collected(lambda: None)
    assert samples == {("swarm_worker_ready", ()): 0.0}


def test_the_status_is_read_at_every_scrape_and_at_no_other_time(port: int) -> None:
    reads: list[int] = []

    def read() -> pb.GetStatusResponse:
        reads.append(1)
        return pb.GetStatusResponse(steps_total=len(reads))

    server = MetricsServer(HOST, port, read)
    server.start()
    try:
        assert reads == []
        for scrape in (1, 2):
            with urllib.request.urlopen(f"http://{HOST}:{port}/metrics", timeout=5) as response:
                samples, _ = parsed(response.read().decode())
            assert samples[("swarm_worker_steps_total", ())] == scrape
    finally:
        server.close()
    assert len(reads) == 2


def test_after_the_close_nobody_listens(port: int) -> None:
    server = MetricsServer(HOST, port, status)
    server.start()
    server.close()
    with pytest.raises(urllib.error.URLError, match="refused"):
        urllib.request.urlopen(f"http://{HOST}:{port}/metrics", timeout=5)
    server.close()


def test_a_taken_port_is_named(port: int) -> None:
    with socket.socket() as other:
        other.bind((HOST, port))
        other.listen()
        server = MetricsServer(HOST, port, status)
        with pytest.raises(SwarmError, match=f"{HOST}:{port}") as caught:
            server.start()
    assert (caught.value.reason, caught.value.param) == (Reason.UNAVAILABLE, "metrics_port")


def test_port_0_serves_nothing() -> None:
    server = MetricsServer(HOST, 0, status)
    server.start()
    server.close()

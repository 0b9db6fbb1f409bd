"""The worker's status as Prometheus metrics, on a port of their own.

Nothing is counted here: the status is read when somebody asks, so a step costs nothing more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from wsgiref.simple_server import WSGIServer

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from services.common.errors import Reason, SwarmError
from swarm.inference.v1 import inference_pb2 as pb

PREFIX = "swarm_worker"

# None: the model is still being loaded.
Read = Callable[[], pb.GetStatusResponse | None]

log = structlog.get_logger()


class StatusCollector(Collector):
    """Turns the status of the moment into metric families."""

    def __init__(self, read: Read) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        status = self._read()
        yield _gauge("ready", "1 when the model has answered for the first time", float(status is not None))
        if status is None:
            return
        yield _info(status)
        yield _gauge("slots", "Sequences that can run together", status.slots_total)
        yield _gauge("slots_busy", "Sequences that run", status.slots_busy)
        yield _gauge("queue_length", "Requests that wait", status.queue_length)
        yield _gauge("queue_capacity", "Requests that may wait", status.queue_capacity)
        yield _gauge("cells", "KV cells, one for each token of context", status.cells_total)
        yield _gauge("cells_used", "KV cells of running sequences", status.cells_used)
        yield from _tokens(status)
        yield _counter("suspensions", "Candidates that waited again for KV cells", status.suspensions_total)
        yield _counter("steps", "Decode calls", status.steps_total)
        seconds = status.step_seconds
        yield _counter_by(
            "step_seconds",
            "Where the time of all steps went",
            "part",
            {
                "decode": seconds.decode,
                "sample": seconds.sample,
                "emit": seconds.emit,
                "move": seconds.move,
                "python": seconds.python,
            },
        )
        yield from _tiers(status)


class MetricsServer:
    """Serves the metrics of one worker from a daemon thread. `port` 0: nothing is served."""

    def __init__(self, host: str, port: int, read: Read) -> None:
        self._host = host
        self._port = port
        self._read = read
        self._running: tuple[WSGIServer, threading.Thread] | None = None

    def start(self) -> None:
        """Raises SwarmError UNAVAILABLE naming the address when it is taken."""
        if not self._port:
            return
        registry = CollectorRegistry()
        registry.register(StatusCollector(self._read))
        # Memory, processor time and open files of this process; only where /proc tells them.
        ProcessCollector(PREFIX, registry=registry)
        try:
            self._running = start_http_server(self._port, self._host, registry)
        except OSError as error:
            raise SwarmError(
                Reason.UNAVAILABLE,
                f"the worker's metrics cannot be served on {self._host}:{self._port}: {error.strerror}. "
                "SWARM_METRICS_PORT names another port, 0 serves none",
                param="metrics_port",
            ) from error
        log.info("metrics", address=f"{self._host}:{self._port}")

    def close(self) -> None:
        """Waits for the thread, half a second at most."""
        if self._running is None:
            return
        server, thread = self._running
        self._running = None
        server.shutdown()
        server.server_close()
        thread.join()


def _info(status: pb.GetStatusResponse) -> Metric:
    choices = status.choices
    return InfoMetricFamily(
        PREFIX,
        "Who this is, and what was chosen for this machine and model",
        {
            "worker": status.worker,
            "threads": str(choices.threads),
            "batch": str(choices.batch),
            "micro_batch": str(choices.micro_batch),
            "flash_attention": str(choices.flash_attention).lower(),
            "kv_type": choices.kv_type,
            "gpu_layers": str(choices.gpu_layers),
            "speculation": choices.speculation,
            "reuse": choices.reuse,
        },
    )


def _tokens(status: pb.GetStatusResponse) -> Iterator[Metric]:
    yield _counter("prompt_tokens", "Tokens of all prompts", status.prompt_tokens_total)
    yield _counter_by(
        "cached_tokens",
        "Tokens of prompts that were not computed, by where they were kept",
        "tier",
        {
            "live": status.cached_live_tokens_total,
            "ram": status.cached_ram_tokens_total,
            "disk": status.cached_disk_tokens_total,
        },
    )
    yield _counter("generated_tokens", "Tokens of all answers", status.generated_tokens_total)
    yield _counter("drafted_tokens", "Tokens that were guessed", status.drafted_tokens_total)
    yield _counter("accepted_tokens", "Guessed tokens that were right", status.accepted_tokens_total)
    yield _gauge_by(
        "tokens_per_second",
        "Speed over the last seconds of work",
        "phase",
        {"prefill": status.prefill_tokens_per_second, "decode": status.decode_tokens_per_second},
    )


def _tiers(status: pb.GetStatusResponse) -> Iterator[Metric]:
    """A tier that is not there has no samples."""
    tiers = {name: getattr(status, name) for name in ("ram", "disk") if status.HasField(name)}
    for name, text, field in (
        ("kv_tier_bytes", "Bytes of kept KV state", "bytes_used"),
        ("kv_tier_bytes_limit", "Bytes that kept KV state may take", "bytes_limit"),
        ("kv_tier_blocks", "Blocks of kept KV state", "blocks"),
    ):
        yield _gauge_by(name, text, "tier", {tier: getattr(each, field) for tier, each in tiers.items()})
    for name, text, field in (
        ("kv_tier_evicted", "Entries dropped for room", "evicted_total"),
        ("kv_tier_refused", "Damaged or foreign entries, deleted", "refused_total"),
    ):
        yield _counter_by(name, text, "tier", {tier: getattr(each, field) for tier, each in tiers.items()})


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}_{name}", text, value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"{PREFIX}_{name}", text, value)


def _gauge_by(name: str, text: str, label: str, values: dict[str, float]) -> Metric:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _counter_by(name: str, text: str, label: str, values: dict[str, float]) -> Metric:
    family = CounterMetricFamily(f"{PREFIX}_{name}", text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family

"""What gateway and consensus cost a token, with a worker that computes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from time import perf_counter

import psutil

from services.cli import health
from services.cli.bootstrap import ROOT
from tests.bench import fake_worker
from tests.bench.bench import Bench, Case
from tests.bench.client import Endpoint, chat, user
from tests.bench.ours import clean_environment, free_ports, until
from tests.bench.stats import Row, at_least, at_most

_SERVICES = ("services.discovery", "services.consensus", "gateway", "tests.bench.fake_worker")
_STREAMS = 4


@contextlib.contextmanager
def _road() -> Iterator[tuple[int, dict[str, psutil.Process]]]:
    """Discovery, consensus, gateway and the worker without a model; yields the port and the processes."""
    port = free_ports(5)
    with tempfile.TemporaryDirectory(prefix="swarm-bench-") as home, contextlib.ExitStack() as stack:
        environment = {**clean_environment(), "SWARM_HOME": home, "SWARM_PORT": str(port)}
        processes = {}
        for module in _SERVICES:
            process = subprocess.Popen(
                [sys.executable, "-m", module], cwd=ROOT, env=environment,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            stack.callback(process.wait)
            stack.callback(process.kill)
            processes[module] = psutil.Process(process.pid)
        until(
            lambda: fake_worker.PACE in str(health.http_json(f"http://127.0.0.1:{port}/v1/models")),
            "the road",
        )
        yield port, processes


def _spent(*processes: psutil.Process) -> float:
    """Seconds of processor time so far."""
    times = [process.cpu_times() for process in processes]
    return sum(each.user + each.system for each in times)


async def _run(bench: Bench) -> list[Row]:
    delays: list[float] = []
    shares: list[float] = []
    with _road() as (port, processes):
        gateway, consensus = processes["gateway"], processes["services.consensus"]

        async def pace(_: int) -> float:
            tokens = bench.form.size(400, 100)
            before, started = _spent(gateway, consensus), perf_counter()
            answer = await chat(Endpoint("road", port, fake_worker.PACE), user("pace"), tokens)
            shares.append((_spent(gateway, consensus) - before) / (perf_counter() - started) * 100)
            hops = [
                at - float(text) for at, text in zip(answer.arrivals, answer.texts[0].split(), strict=True)
            ]
            delays.append(statistics.median(hops) * 1e3)
            return delays[-1]

        async def flood(model: str, tokens: int) -> tuple[float, float]:
            """Tokens a second of the whole road here, and of a core that the gateway has for itself."""
            endpoint = Endpoint("road", port, model)
            before, started = _spent(gateway), perf_counter()
            answers = await asyncio.gather(*(chat(endpoint, user("go"), tokens) for _ in range(_STREAMS)))
            total = sum(answer.tokens for answer in answers)
            return total / (perf_counter() - started), total / (_spent(gateway) - before)

        await pace(0)
        delays.clear()
        shares.clear()
        wide: list[tuple[float, float]] = []
        narrow: list[tuple[float, float]] = []
        for number in range(bench.form.rounds):
            await pace(number)
            wide.append(await flood(fake_worker.FLOOD, bench.form.size(80_000, 16_000)))
            narrow.append(await flood(fake_worker.DROPS, bench.form.size(10_000, 4_000)))
            bench.tick()
    alone = "processor time of the gateway alone"
    return [
        Row("gateway and consensus, a token", "ms", delays, goal=at_most(0.5), note="worker to client, p50"),
        Row("gateway and consensus at 50 tok/s", "% of a core", shares, goal=at_most(5.0)),
        Row(
            "gateway, 8 tokens a message",
            "tok/s",
            [each[1] for each in wide],
            goal=at_least(50_000),
            note=alone,
        ),
        Row("whole road, 8 tokens a message", "tok/s", [each[0] for each in wide], note="all processes here"),
        Row("gateway, 1 token a message", "tok/s", [each[1] for each in narrow], note=alone),
    ]


CASE = Case("overhead", _run, lambda form: form.rounds)

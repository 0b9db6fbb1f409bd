"""One busy process beside the engine: what remains of the speed."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

from tests.bench.bench import Bench, Case, Form, Side
from tests.bench.client import Endpoint, chat
from tests.bench.stats import Row, at_least

_PROMPT = 64


@contextlib.contextmanager
def _busy_process() -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"], stdin=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _rounds(form: Form) -> int:
    return min(form.rounds, 2)


async def _run(bench: Bench) -> list[Row]:
    tokens = bench.form.size(96, 32)

    def rate(endpoint: Endpoint, busy: bool) -> Side:
        async def measure(_: int) -> float:
            with _busy_process() if busy else contextlib.nullcontext():
                return (await chat(endpoint, bench.prompt(_PROMPT), tokens)).rate

        return measure

    mine, other = bench.endpoints
    idle, busy, its_idle, its_busy = await bench.interleave(
        _rounds(bench.form), [rate(mine, False), rate(mine, True), rate(other, False), rate(other, True)]
    )
    return [
        Row("one busy competitor", "tok/s", busy, "idle", idle, at_least(0.5)),
        Row("llama-server, one busy competitor", "tok/s", its_busy, "its idle", its_idle),
        Row("one busy competitor", "tok/s", busy, other.name, its_busy),
    ]


CASE = Case("competitor", _run, lambda form: 4 * _rounds(form))

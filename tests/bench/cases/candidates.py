"""N candidates of one long prompt against one, and against llama-server's own `n`: time and memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import psutil

from tests.bench.bench import Bench, Case, Form, Side
from tests.bench.client import Endpoint, chat
from tests.bench.stats import Row, at_most

_GOALS = {3: 1.25, 5: 1.40, 8: 1.60}
_MEMORY = 1.03
_SAMPLE_PAUSE = 0.05
_MEGABYTE = 1e6
# What clients commonly send; the same for both.
_SAMPLING: dict[str, Any] = {"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05}


def _numbers(form: Form) -> tuple[int, ...]:
    return (1, 3) if form.quick else (1, 3, 5, 8)


def _rounds(form: Form) -> int:
    return min(form.rounds, 2)


class _Peak:
    """The largest resident memory of a process, in bytes, seen while it was watched."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self.bytes = 0

    @contextlib.asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watching.cancel()
            self._look()

    async def _watch(self) -> None:
        while True:
            self._look()
            await asyncio.sleep(_SAMPLE_PAUSE)

    def _look(self) -> None:
        self.bytes = max(self.bytes, self._process.memory_info().rss)


async def _run(bench: Bench) -> list[Row]:
    prompt, tokens = bench.form.size(2_000, 256), bench.form.size(64, 16)
    mine, other = bench.endpoints
    memory: dict[tuple[str, int], list[float]] = {}

    def side(endpoint: Endpoint, number: int) -> Side:
        async def measure(_: int) -> float:
            peak = _Peak(bench.ours.worker() if endpoint is mine else bench.theirs.process)
            async with peak.watched():
                answer = await chat(
                    endpoint, bench.prompt(prompt), tokens, n=number, seed=bench.seed(), **_SAMPLING
                )
            memory.setdefault((endpoint.name, number), []).append(peak.bytes / _MEGABYTE)
            return answer.seconds

        return measure

    numbers = _numbers(bench.form)
    sides = [side(endpoint, number) for number in numbers for endpoint in (mine, other)]
    figures = await bench.interleave(_rounds(bench.form), sides)
    ours, theirs = (
        dict(zip(numbers, figures[::2], strict=True)),
        dict(zip(numbers, figures[1::2], strict=True)),
    )
    rows = []
    for number in numbers[1:]:
        rows += [
            Row(f"{number} candidates", "s", ours[number], "one", ours[1], at_most(_GOALS[number])),
            Row(f"llama-server's n = {number}", "s", theirs[number], "its n = 1", theirs[1]),
            Row(f"{number} candidates", "s", ours[number], f"llama-server's n = {number}", theirs[number]),
        ]
    most = numbers[-1]
    one, many = memory[mine.name, 1], memory[mine.name, most]
    its_one, its_many = memory[other.name, 1], memory[other.name, most]
    return [
        *rows,
        Row(f"memory, {most} candidates", "MB", many, "one", one, at_most(_MEMORY), "resident, worker"),
        Row(f"memory, llama-server's n = {most}", "MB", its_many, "its n = 1", its_one),
        Row(f"memory, {most} candidates", "MB", many, f"llama-server's n = {most}", its_many),
    ]


CASE = Case("candidates", _run, lambda form: 2 * len(_numbers(form)) * _rounds(form))

"""Several clients at once: tokens a second of all together, and how long each waits for its first token."""

from __future__ import annotations

import asyncio
import statistics

from tests.bench.bench import Bench, Case, Form, Side
from tests.bench.client import Endpoint, chat
from tests.bench.stats import Row, at_least, at_most

_PROMPT = 128
_MOST = 16


def _numbers(form: Form) -> tuple[int, ...]:
    return (4, _MOST) if form.quick else (4, 8, _MOST)


async def _run(bench: Bench) -> list[Row]:
    tokens = bench.form.size(64, 16)
    waits: dict[str, list[float]] = {endpoint.name: [] for endpoint in bench.endpoints}

    def together(endpoint: Endpoint, clients: int) -> Side:
        async def measure(_: int) -> float:
            prompts = [bench.prompt(_PROMPT) for _ in range(clients)]
            answers = await asyncio.gather(*(chat(endpoint, prompt, tokens) for prompt in prompts))
            if clients == _MOST:
                waits[endpoint.name].append(statistics.median(answer.first for answer in answers))
            seconds = max(answer.end for answer in answers) - min(answer.start for answer in answers)
            return sum(answer.tokens for answer in answers) / seconds

        return measure

    mine, other = bench.endpoints
    rows = []
    for clients in _numbers(bench.form):
        ours, theirs = await bench.interleave(
            bench.form.rounds, [together(mine, clients), together(other, clients)]
        )
        rows.append(Row(f"{clients} clients", "tok/s", ours, other.name, theirs, at_least(1.0)))
    first = Row(
        f"time to first token, {_MOST} clients", "s", waits[mine.name], other.name, waits[other.name],
        at_most(0.6), "median of the clients",
    )  # fmt: skip
    return [*rows, first]


CASE = Case("clients", _run, lambda form: 2 * form.rounds * len(_numbers(form)))

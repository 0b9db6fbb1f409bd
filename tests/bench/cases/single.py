"""One stream through the whole stack: gateway, consensus, worker; temperature 0."""

from __future__ import annotations

from tests.bench.bench import Bench, Case, Form
from tests.bench.client import Endpoint, chat
from tests.bench.stats import Row, at_least
from tests.bench.theirs import llama_bench

_PROMPT = 64


def _tokens(form: Form) -> int:
    return form.size(192, 64)


async def _run(bench: Bench) -> list[Row]:
    tokens = _tokens(bench.form)

    async def rate(endpoint: Endpoint) -> float:
        return (await chat(endpoint, bench.prompt(_PROMPT), tokens)).rate

    mine, other = bench.endpoints
    ours, server, alone = await bench.interleave(
        bench.form.rounds,
        [
            lambda _: rate(mine),
            lambda _: rate(other),
            lambda _: llama_bench(bench.peers, bench.setting, tokens),
        ],
    )
    return [
        Row("single stream", "tok/s", ours, "llama-server", server, at_least(1.0)),
        Row("single stream", "tok/s", ours, "llama-bench", alone, at_least(0.95)),
    ]


CASE = Case("single stream", _run, lambda form: 3 * form.rounds)

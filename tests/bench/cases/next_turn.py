"""The next turn of a long conversation: how much of the prompt is computed again, also after a restart."""

from __future__ import annotations

import asyncio

from tests.bench.bench import Bench, Case, Form, Side
from tests.bench.client import Answer, Endpoint, chat
from tests.bench.stats import Row, at_most

_TURN, _TOKENS = 32, 16


def _rounds(form: Form) -> int:
    return min(form.rounds, 2)


class _Conversation:
    """Grows by an answer and a question with every turn."""

    def __init__(self, bench: Bench, endpoint: Endpoint, prefix: int) -> None:
        self._bench = bench
        self._endpoint = endpoint
        self._session = f"conversation-{bench.seed()}"
        self._messages = bench.prompt(prefix)
        self.answer: Answer | None = None

    async def turn(self) -> float:
        """Seconds to the first token: what the prompt costs."""
        if self.answer is not None:
            self._messages += [
                {"role": "assistant", "content": self.answer.texts[0]},
                *self._bench.prompt(_TURN),
            ]
        self.answer = await chat(self._endpoint, self._messages, _TOKENS, self._session)
        return self.answer.first

    @property
    def cached(self) -> str:
        assert self.answer is not None
        return f"{self.answer.cached} of {self.answer.prompt} tokens from the cache"


async def _run(bench: Bench) -> list[Row]:
    prefix = bench.form.size(8_000, 1_000)
    mine, other = bench.endpoints
    current: dict[str, _Conversation] = {}
    notes: dict[tuple[str, str], str] = {}

    def cold(endpoint: Endpoint) -> Side:
        async def measure(_: int) -> float:
            current[endpoint.name] = _Conversation(bench, endpoint, prefix)
            return await current[endpoint.name].turn()

        return measure

    def warm(endpoint: Endpoint, kind: str) -> Side:
        async def measure(_: int) -> float:
            if kind == "restart":
                await asyncio.to_thread(bench.ours.restart_worker)
            seconds = await current[endpoint.name].turn()
            notes[endpoint.name, kind] = current[endpoint.name].cached
            return seconds

        return measure

    ours, next_ours, restarted, theirs, next_theirs = await bench.interleave(
        _rounds(bench.form),
        [cold(mine), warm(mine, "next"), warm(mine, "restart"), cold(other), warm(other, "next")],
    )
    work = f"on {prefix:,} tokens"
    return [
        Row(f"next turn {work}", "s", next_ours, "cold", ours, at_most(0.025), notes[mine.name, "next"]),
        Row(
            f"after a restart, {work}",
            "s",
            restarted,
            "cold",
            ours,
            at_most(0.03),
            notes[mine.name, "restart"],
        ),
        Row(
            f"llama-server's next turn {work}",
            "s",
            next_theirs,
            "its cold",
            theirs,
            None,
            notes[other.name, "next"],
        ),
        Row(f"next turn {work}", "s", next_ours, other.name, next_theirs),
        Row(f"cold {work}", "s", ours, other.name, theirs),
    ]


CASE = Case("next turn", _run, lambda form: 5 * _rounds(form))

"""An agent's session of thirty turns over a growing prefix, with title requests beside it."""

from __future__ import annotations

import asyncio

from tests.bench.bench import Bench, Case, Form
from tests.bench.client import Endpoint, chat
from tests.bench.stats import Row, at_least

_TURNS = 30
_FIRST, _LAST = 7_000, 30_000
_ANSWER = 48
_TITLE, _TITLE_ANSWER = 400, 12
# Every so many turns a client opens another session, whose title is asked for.
_TITLES_EVERY = 5


class _Session:
    """One side's session; the texts are the same for both sides."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._messages: list[dict[str, str]] = []
        self.seconds: list[float] = []
        self.cached = self.prompt = 0

    async def turn(self, text: list[dict[str, str]], title: list[dict[str, str]] | None) -> None:
        self._messages += text
        beside = []
        if title is not None:
            beside.append(asyncio.create_task(chat(self._endpoint, title, _TITLE_ANSWER, "title")))
        answer = await chat(self._endpoint, self._messages, _ANSWER, "agent")
        await asyncio.gather(*beside)
        self._messages.append({"role": "assistant", "content": answer.texts[0]})
        self.seconds.append(answer.seconds)
        self.cached += answer.cached
        self.prompt += answer.prompt

    @property
    def turns_a_minute(self) -> float:
        return 60 * len(self.seconds) / sum(self.seconds)

    @property
    def reuse(self) -> str:
        return f"{100 * self.cached / self.prompt:.0f} % of the prompts from the cache"


async def _run(bench: Bench) -> list[Row]:
    mine, other = (_Session(endpoint) for endpoint in bench.endpoints)
    step = (_LAST - _FIRST) // (_TURNS - 1) - _ANSWER
    for number in range(_TURNS):
        text = bench.prompt(step if number else _FIRST)
        title = None if number % _TITLES_EVERY else bench.prompt(_TITLE)
        for side in (mine, other):
            await side.turn(text, title)
            bench.tick()
    note = f"{mine.reuse}; llama-server {other.reuse}"
    work = f"{_TURNS}-turn agent replay"
    return [
        Row(
            work,
            "turns/min",
            [mine.turns_a_minute],
            "llama-server",
            [other.turns_a_minute],
            at_least(1.2),
            note,
        ),
        Row(f"{work}, later turns", "s", mine.seconds[1:], "llama-server", other.seconds[1:]),
    ]


def _steps(form: Form) -> int:
    return 2 * _TURNS


CASE = Case("replay", _run, _steps, only_long=True)

"""Asks a worker every item: one greedy answer, and for each seed candidates that differ."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from services.common.chat import Accepted, ChatRequest, DrawnTokens, PrefillProgress, Sampling, Usage
from services.consensus.drafts import Draft
from services.consensus.ports import Worker
from services.consensus.trial.items import Item

# Tokens of one answer at most: the items' answers are short.
_MOST_TOKENS = 400


@dataclass(frozen=True, slots=True)
class Answers:
    """`samples`: one tuple of candidates for each seed, all drawn at the same temperature.

    `greedy_seconds` and `seconds`: what a request for one answer, and one for all candidates of a seed, took.
    """

    item: Item
    greedy: Draft
    samples: tuple[tuple[Draft, ...], ...]
    greedy_seconds: float = 0.0
    seconds: float = 0.0


async def gather(
    worker: Worker,
    model: str,
    items: Sequence[Item],
    seeds: Sequence[int],
    candidates: int,
    temperature: float,
    timeout: float,
) -> AsyncGenerator[Answers, None]:
    """Item after item, one request at a time. `timeout` in seconds is each request's. Raises SwarmError."""
    clock = asyncio.get_running_loop().time
    for item in items:
        started = clock()
        (greedy,) = await _ask(worker, _request(model, item, 1, Sampling(temperature=0.0)), timeout)
        alone = clock() - started
        samples = []
        for seed in seeds:
            sampling = Sampling(temperature=temperature, seed=seed)
            samples.append(await _ask(worker, _request(model, item, candidates, sampling), timeout))
        together = (clock() - started - alone) / len(seeds)
        yield Answers(item, greedy, tuple(samples), alone, together)


def _request(model: str, item: Item, candidates: int, sampling: Sampling) -> ChatRequest:
    limited = Sampling(
        temperature=sampling.temperature, seed=sampling.seed, max_tokens=_MOST_TOKENS, top_logprobs=0
    )
    return ChatRequest(model, item.messages, item.tools, sampling=limited, candidates=candidates)


async def _ask(worker: Worker, request: ChatRequest, timeout: float) -> tuple[Draft, ...]:
    drafts = tuple(Draft(number, worker.name) for number in range(request.candidates))
    async with aclosing(worker.chat(request, timeout)) as events:
        async for event in events:
            if not isinstance(event, Accepted | PrefillProgress | Usage | DrawnTokens):
                drafts[event.candidate].add(event)
    return drafts

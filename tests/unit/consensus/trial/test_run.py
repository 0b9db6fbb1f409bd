"""A whole trial over fakes: every item asked, marked once, code run once."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import pytest

from services.common.chat import (
    Accepted,
    CandidateFinished,
    ChatEvent,
    ChatRequest,
    ContentDelta,
    FinishReason,
    Tool,
    ToolCall,
    Usage,
)
from services.common.errors import Reason, SwarmError
from services.consensus.ports import ToolOutcome, ToolServer
from services.consensus.trial.checks import PASSED
from services.consensus.trial.items import Item, arithmetic, functions
from services.consensus.trial.run import Setting, trial

SETTING = Setting("m", seeds=(1, 2), candidates=3, temperature=0.8)


class Writer:
    """Answers every question with `text`, candidate 1 with nothing."""

    id = name = "w"
    models = ()
    slots = 4
    in_flight = 0
    usable = True

    def __init__(self, text: str) -> None:
        self.text = text
        self.asked: list[ChatRequest] = []

    async def chat(self, request: ChatRequest, timeout: float) -> AsyncGenerator[ChatEvent, None]:
        self.asked.append(request)
        yield Accepted("m", 5, 100, "w")
        for candidate in range(request.candidates):
            yield ContentDelta(candidate, "" if candidate == 1 else self.text)
            yield CandidateFinished(candidate, FinishReason.STOP, 4)
        yield Usage(5, 0, 4, 0)


class Runner:
    def __init__(self, passes: bool) -> None:
        self.commands: list[str] = []
        self.passes = passes

    async def tools(self, timeout: float) -> Sequence[Tool]:
        return ()

    async def execute(self, session_id: str, call: ToolCall, timeout: float) -> ToolOutcome:
        self.commands.append(json.loads(call.arguments_json)["command"])
        return ToolOutcome(f"{PASSED}\n" if self.passes else "Traceback", not self.passes)


async def marks(writer: Writer, runner: ToolServer | None, items: Sequence[Item]) -> list[tuple[bool, ...]]:
    async with aclosing(trial(writer, runner, items, SETTING)) as results:
        return [(each.greedy, *(flag for flags in each.samples for flag in flags)) async for each in results]


async def test_each_item_is_asked_greedily_and_once_for_each_seed() -> None:
    (item,) = arithmetic(1, 1)
    writer = Writer("41" if item.expected.value != 41 else "42")  # type: ignore[union-attr]
    assert await marks(writer, None, [item]) == [(False,) * 7]
    greedy, *sampled = writer.asked
    assert (greedy.sampling.temperature, greedy.candidates) == (0.0, 1)
    assert [(each.sampling.temperature, each.sampling.seed, each.candidates) for each in sampled] == [
        (0.8, 1, 3),
        (0.8, 2, 3),
    ]


async def test_the_right_number_is_right() -> None:
    (item,) = arithmetic(1, 1)
    writer = Writer(str(item.expected.value))  # type: ignore[union-attr]
    assert await marks(writer, None, [item]) == [(True, True, False, True, True, False, True)]


@pytest.mark.parametrize("passes", [True, False])
async def test_the_same_code_is_run_once(passes: bool) -> None:
    (item,) = functions(1, 1)
    runner = Runner(passes)
    found = await marks(Writer(f"def {item.expected.name}(x):\n    return x"), runner, [item])  # type: ignore[union-attr]
    assert found == [(passes, passes, False, passes, passes, False, passes)]
    assert len(runner.commands) == 1


async def test_code_without_a_tool_server_is_an_error() -> None:
    (item,) = functions(1, 1)
    with pytest.raises(SwarmError) as caught:
        await marks(Writer(f"def {item.expected.name}(x):\n    return x"), None, [item])  # type: ignore[union-attr]
    assert caught.value.reason is Reason.TOOL_SERVER_UNAVAILABLE

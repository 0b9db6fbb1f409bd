"""The whole trial of one model: ask, mark, compare. Needs a worker, and a tool server to run written code."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from services.common.chat import ToolCall
from services.common.errors import Reason, SwarmError
from services.consensus.drafts import Draft
from services.consensus.ports import ToolServer, Worker
from services.consensus.trial.checks import PASSED, program, right
from services.consensus.trial.compare import Marked
from services.consensus.trial.gather import Answers, gather
from services.consensus.trial.items import Function, Item

# Seconds that a written function may run: it works on a few short lists.
_RUN = 10.0
_SESSION = "evaluation"


@dataclass(frozen=True, slots=True)
class Setting:
    """`temperature` is that of the candidates; `timeout` in seconds is each request's."""

    model: str
    seeds: tuple[int, ...]
    candidates: int
    temperature: float
    timeout: float = 120.0


class Marker:
    """Says what is right of an item's answers; the same code runs once."""

    def __init__(self, tool_server: ToolServer | None) -> None:
        """Without a tool server `mark` raises for an item whose answers are code."""
        self._tool_server = tool_server
        self._known: dict[str, bool] = {}

    async def mark(self, answers: Answers) -> Marked:
        """Raises SwarmError TOOL_SERVER_UNAVAILABLE."""
        greedy = await self._right(answers.item, answers.greedy)
        samples = [
            tuple([await self._right(answers.item, draft) for draft in drafts]) for drafts in answers.samples
        ]
        return Marked(answers, greedy, tuple(samples))

    async def _right(self, item: Item, draft: Draft) -> bool:
        known = right(item.expected, draft)
        if known is None and isinstance(item.expected, Function):
            return await self._passes(program(item.expected, draft.content))
        return bool(known)

    async def _passes(self, text: str) -> bool:
        if text not in self._known:
            if self._tool_server is None:
                raise SwarmError(
                    Reason.TOOL_SERVER_UNAVAILABLE, "No tool server is there to run the answers' code."
                )
            encoded = base64.b64encode(text.encode()).decode()
            arguments = json.dumps({"command": f"echo {encoded} | base64 -d | python3 -I -"})
            call = ToolCall(f"run-{len(self._known)}", "bash", arguments)
            outcome = await self._tool_server.execute(_SESSION, call, _RUN)
            self._known[text] = not outcome.is_error and outcome.content.rstrip().endswith(PASSED)
        return self._known[text]


async def trial(
    worker: Worker, tool_server: ToolServer | None, items: Sequence[Item], setting: Setting
) -> AsyncGenerator[Marked, None]:
    """Item after item, marked. Raises SwarmError."""
    marker = Marker(tool_server)
    async with aclosing(
        gather(
            worker,
            setting.model,
            items,
            setting.seeds,
            setting.candidates,
            setting.temperature,
            setting.timeout,
        )
    ) as gathered:
        async for answers in gathered:
            yield await marker.mark(answers)

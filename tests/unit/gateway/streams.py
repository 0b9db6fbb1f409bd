"""A decision without a network, and what a client makes of the bytes it leads to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterable
from typing import Any

from gateway.lifetime import Lifetime
from gateway.sse import StreamAnswer, WholeAnswer
from swarm.consensus.v1 import consensus_pb2 as pb


class ScriptedDecision:
    """Stands for `upstream.Decision`."""

    def __init__(self, script: Iterable[pb.DecideEvent | Exception]) -> None:
        self._script = script
        self.cancelled = False

    async def events(self) -> AsyncGenerator[pb.DecideEvent, None]:
        for step in self._script:
            if isinstance(step, Exception):
                raise step
            yield step

    def stop(self, reason: Exception) -> None:
        self.cancelled = True

    def cancel(self) -> None:
        self.cancelled = True


async def _never() -> dict[str, Any]:
    await asyncio.Event().wait()
    raise AssertionError


async def answer(answer: StreamAnswer | WholeAnswer) -> tuple[int, bytes]:
    """Status and body; raises what would become an HTTP error."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await answer({"type": "http"}, _never, send)
    assert [message["type"] for message in sent[:1]] == ["http.response.start"]
    assert not sent[-1].get("more_body", False)
    assert all(message["more_body"] for message in sent[1:-1])
    return sent[0]["status"], b"".join(message["body"] for message in sent[1:])


def streamed(script: Iterable[pb.DecideEvent | Exception], choices: int = 1) -> str:
    made = StreamAnswer(lambda: ScriptedDecision(script), choices, Lifetime(), True, 5.0)  # type: ignore[arg-type, return-value]
    return asyncio.run(answer(made))[1].decode()


def whole(script: Iterable[pb.DecideEvent | Exception], choices: int = 1) -> dict[str, Any]:
    made = WholeAnswer(lambda: ScriptedDecision(script), choices, Lifetime())  # type: ignore[arg-type, return-value]
    body: dict[str, Any] = json.loads(asyncio.run(answer(made))[1])
    return body


def data_of(stream: str) -> list[Any]:
    """The JSON of each event, `"[DONE]"` as itself. Comments are left out."""
    assert stream.endswith("\n\n")
    found = []
    for block in stream[:-2].split("\n\n"):
        if block.startswith(":"):
            continue
        assert block.startswith("data: ")
        assert len(block.splitlines()) == 1, "a client that splits at Unicode's line ends sees one line"
        text = block.removeprefix("data: ")
        found.append(text if text == "[DONE]" else json.loads(text))
    return found


def folded(chunks: list[Any]) -> dict[int, dict[str, Any]]:
    """Choices as a client adds them up: content, reasoning, calls by index, finish."""
    choices: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        if chunk == "[DONE]" or "error" in chunk:
            continue
        for part in chunk["choices"]:
            got = choices.setdefault(
                part["index"], {"content": "", "reasoning": "", "calls": {}, "finish": None}
            )
            delta = part["delta"]
            assert got["finish"] is None, "nothing follows a finish reason"
            got["content"] += delta.get("content") or ""
            got["reasoning"] += delta.get("reasoning_content") or ""
            for call in delta.get("tool_calls", []):
                if call["index"] not in got["calls"]:
                    assert call["id"]
                    assert call["type"] == "function"
                    assert call["function"]["name"]
                    got["calls"][call["index"]] = {
                        "id": call["id"],
                        "name": call["function"]["name"],
                        "args": "",
                    }
                got["calls"][call["index"]]["args"] += call["function"]["arguments"]
            got["finish"] = part["finish_reason"]
    return choices

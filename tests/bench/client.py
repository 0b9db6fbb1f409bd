"""A client that costs little: bytes are stamped as they come, and read when all are there."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

TIMEOUT = 1_800.0


class BenchError(Exception):
    """The run cannot go on, and why."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an OpenAI API is served on loopback, and the model to ask for."""

    name: str
    port: int
    model: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Times in seconds: `start` when the request was sent, `arrivals` of every piece of text.

    `opening` is the number of words in the first piece. `tokens` of all choices together; `cached` tokens of
    the prompt were not computed again.
    """

    start: float
    arrivals: tuple[float, ...]
    end: float
    opening: int
    texts: tuple[str, ...]
    prompt: int
    tokens: int
    cached: int

    @property
    def first(self) -> float:
        """Seconds to the first piece of text."""
        return self.arrivals[0] - self.start

    @property
    def seconds(self) -> float:
        return self.end - self.start

    @property
    def rate(self) -> float:
        """Tokens a second once the first piece was there. A word is a token; guessed ones come together."""
        return (self.tokens - max(1, self.opening)) / (self.arrivals[-1] - self.arrivals[0])


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


async def chat(
    endpoint: Endpoint,
    messages: Sequence[Mapping[str, Any]],
    max_tokens: int,
    session: str = "",
    **more: Any,
) -> Answer:
    """One streamed answer of exactly `max_tokens` tokens a choice, greedy unless `more` says otherwise.

    Raises BenchError when the server refuses, goes away, or ends the answer early.
    """
    choices = int(more.get("n", 1))
    body = {
        "model": endpoint.model,
        "messages": list(messages),
        "max_tokens": max_tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        **more,
    }
    start = perf_counter()
    try:
        events = await asyncio.wait_for(_stream(endpoint, body, session), TIMEOUT)
    except (OSError, EOFError, TimeoutError) as error:
        raise BenchError(f"{endpoint.name} broke off: {error!r}") from error
    answer = _read(endpoint, start, events, choices)
    if len(answer.texts) != choices or answer.tokens < max_tokens:
        raise BenchError(
            f"{endpoint.name} gave {answer.tokens} tokens in {len(answer.texts)} choices, "
            f"expected {max_tokens} in each of {choices}"
        )
    return answer


async def _stream(endpoint: Endpoint, body: Mapping[str, Any], session: str) -> list[tuple[float, bytes]]:
    """The data of every event with the time when it came."""
    data = json.dumps(body).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port, limit=1 << 24)
    try:
        affinity = f"x-session-affinity: {session}\r\nx-session-id: {session}\r\n" if session else ""
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{endpoint.port}\r\n{affinity}"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\nConnection: close\r\n\r\n"
        )
        writer.write(head.encode() + data)
        await writer.drain()
        answer = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in answer.partition(b"\r\n")[0]:
            rest = await reader.read(2_000)
            raise BenchError(f"{endpoint.name} refused: {answer.decode()}{rest.decode(errors='replace')}")
        return await _events(reader)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def _events(reader: asyncio.StreamReader) -> list[tuple[float, bytes]]:
    events: list[tuple[float, bytes]] = []
    rest = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        chunk = await reader.readexactly(size + 2)
        now = perf_counter()
        *whole, rest = (rest + chunk[:-2]).split(b"\n\n")
        events.extend((now, event[6:]) for event in whole if event.startswith(b"data: "))
    return events


def _read(endpoint: Endpoint, start: float, events: Sequence[tuple[float, bytes]], choices: int) -> Answer:
    texts: dict[int, list[str]] = {index: [] for index in range(choices)}
    arrivals: list[float] = []
    usage: Mapping[str, Any] = {}
    opening = 0
    for at, data in events:
        if data == b"[DONE]":
            continue
        event = json.loads(data)
        if "error" in event:
            raise BenchError(f"{endpoint.name} failed: {event['error']}")
        for choice in event.get("choices", ()):
            if text := choice["delta"].get("content"):
                opening = opening or len(text.split())
                texts[choice["index"]].append(text)
                arrivals.append(at)
        usage = event.get("usage") or usage
    if not arrivals or not usage:
        raise BenchError(f"{endpoint.name} gave no {'usage' if arrivals else 'text'}")
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    return Answer(
        start,
        tuple(arrivals),
        events[-1][0],
        opening,
        tuple("".join(pieces) for pieces in texts.values() if pieces),
        usage["prompt_tokens"],
        usage["completion_tokens"],
        cached,
    )

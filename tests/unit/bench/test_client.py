"""The client: what it counts, whatever way the bytes are cut, and what it refuses."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from tests.bench.client import BenchError, Endpoint, chat, user


def chunk(text: str, index: int = 0) -> bytes:
    return event({"choices": [{"index": index, "delta": {"content": text}}]})


def event(body: Any) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def usage(tokens: int, cached: int = 0) -> bytes:
    return event(
        {
            "choices": [],
            "usage": {
                "prompt_tokens": 9,
                "completion_tokens": tokens,
                "prompt_tokens_details": {"cached_tokens": cached},
            },
        }
    )


@contextlib.asynccontextmanager
async def serving(
    pieces: Sequence[bytes], status: str = "200 OK", end: bytes = b"0\r\n\r\n"
) -> AsyncIterator[Endpoint]:
    """A server that sends these pieces as chunks, then `end`."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        for piece in pieces:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        writer.write(end)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield Endpoint("fake", server.sockets[0].getsockname()[1], "tiny")


async def test_counts_pieces_and_reads_usage() -> None:
    stream = [chunk(""), chunk(" a"), b": ping\n\n", chunk(" b"), usage(2, cached=5), b"data: [DONE]\n\n"]
    async with serving(stream) as endpoint:
        answer = await chat(endpoint, user("x"), 2)
    assert answer.texts == (" a b",)
    assert len(answer.arrivals) == 2
    assert (answer.prompt, answer.tokens, answer.cached) == (9, 2, 5)
    assert 0 < answer.first <= answer.seconds


async def test_events_may_be_cut_anywhere() -> None:
    whole = chunk(" a") + chunk(" b") + usage(2) + b"data: [DONE]\n\n"
    async with serving([whole[at : at + 7] for at in range(0, len(whole), 7)]) as endpoint:
        assert (await chat(endpoint, user("x"), 2)).texts == (" a b",)


async def test_what_came_with_the_first_piece_is_no_part_of_the_speed() -> None:
    stream = [chunk(" a b c"), chunk(" d"), chunk(" e"), usage(5)]
    async with serving(stream) as endpoint:
        answer = await chat(endpoint, user("x"), 5)
    assert answer.opening == 3
    assert answer.rate == pytest.approx(2 / (answer.arrivals[-1] - answer.arrivals[0]))


async def test_a_server_that_goes_away_is_named() -> None:
    async with serving([chunk(" a")]) as endpoint:
        pass
    with pytest.raises(BenchError, match="fake broke off"):
        await chat(endpoint, user("x"), 1)


async def test_a_connection_that_ends_early_is_named() -> None:
    async with serving([chunk(" a")], end=b"ffff\r\ndata") as endpoint:
        with pytest.raises(BenchError, match="fake broke off"):
            await chat(endpoint, user("x"), 1)


async def test_choices_are_kept_apart() -> None:
    stream = [chunk(" a", 0), chunk(" b", 1), chunk(" c", 0), usage(4)]
    async with serving(stream) as endpoint:
        assert (await chat(endpoint, user("x"), 2, n=2)).texts == (" a c", " b")


@pytest.mark.parametrize(
    ("stream", "status", "told"),
    [
        ([chunk(" a"), usage(1)], "200 OK", "gave 1 tokens"),
        ([chunk(" a")], "200 OK", "no usage"),
        ([usage(0)], "200 OK", "no text"),
        ([event({"error": {"message": "lost"}})], "200 OK", "lost"),
        ([b"queue full"], "429 Too Many", "queue full"),
    ],
)
async def test_half_an_answer_is_no_figure(stream: list[bytes], status: str, told: str) -> None:
    async with serving(stream, status) as endpoint:
        with pytest.raises(BenchError, match=told):
            await chat(endpoint, user("x"), 2)

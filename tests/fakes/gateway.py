"""A gateway on a real socket before a scripted consensus service."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2
import openai

from gateway.app import create_app
from gateway.server import GatewayServer, bind
from services.common.channel import open_channel
from services.common.settings import Settings
from tests.fakes import consensus as fake
from tests.fakes.consensus import FakeConsensus


@dataclass(slots=True)
class Running:
    url: str
    consensus: FakeConsensus
    server: GatewayServer

    @property
    def sdk(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0)

    @property
    def async_sdk(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0)

    async def post(self, body: Any = None, **more: Any) -> httpx2.Response:
        async with httpx2.AsyncClient() as client:
            more = {"json": body} | more if body is not None else more
            return await client.post(f"{self.url}/v1/chat/completions", **more)

    async def get(self, path: str, **more: Any) -> httpx2.Response:
        async with httpx2.AsyncClient() as client:
            return await client.get(self.url + path, **more)


@contextlib.asynccontextmanager
async def gateway(consensus_address: str, consensus: FakeConsensus, **chosen: Any) -> AsyncIterator[Running]:
    async with open_channel(consensus_address) as channel:
        configured = Settings(**chosen)
        server = GatewayServer(create_app(configured, channel), configured.drain)
        listening = bind("127.0.0.1", 0)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        task = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield Running(url, consensus, server)
        finally:
            server.stop()
            await task


@contextlib.asynccontextmanager
async def running(**chosen: Any) -> AsyncIterator[Running]:
    consensus = FakeConsensus()
    chosen = {"drain": 0.2, **chosen}
    async with fake.serving(consensus) as address, gateway(address, consensus, **chosen) as up:
        yield up

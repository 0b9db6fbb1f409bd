"""The discovery process."""

from __future__ import annotations

from services.common.process import run
from services.common.settings import Settings
from services.discovery.service import running


async def _serve(settings: Settings) -> None:
    async with running(settings) as server:
        await server.run_until_signal()


if __name__ == "__main__":
    run("discovery", _serve)

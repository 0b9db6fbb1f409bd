"""The tool server's process."""

from __future__ import annotations

from services.common.process import run
from services.common.settings import Settings
from services.tool_server.service import running


async def _serve(settings: Settings) -> None:
    async with running(settings) as server:
        await server.run_until_signal()


if __name__ == "__main__":
    run("tool_server", _serve)

"""The discovery process."""

from __future__ import annotations

import asyncio
import sys

from services.common.errors import SwarmError
from services.common.logging import configure
from services.common.settings import Settings, load
from services.discovery.service import running


async def _serve(settings: Settings) -> None:
    async with running(settings) as server:
        await server.run_until_signal()


def main() -> None:
    try:
        settings = load().settings
        configure("discovery", settings.log_level)
        asyncio.run(_serve(settings))
    except SwarmError as error:
        sys.exit(f"discovery: {error}")


if __name__ == "__main__":
    main()

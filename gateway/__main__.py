"""`python -m gateway`: the HTTP edge of this box."""

from __future__ import annotations

import asyncio
import sys

from gateway.app import create_app
from gateway.server import GatewayServer, bind
from services.common.channel import open_channel
from services.common.errors import SwarmError
from services.common.logging import configure
from services.common.settings import Settings, load


async def _serve(settings: Settings) -> None:
    listening = bind(settings.host, settings.port)
    async with open_channel(settings.address("consensus")) as channel:
        app = create_app(settings, channel)
        await GatewayServer(app, settings.drain).run_until_signal(listening)


def main() -> int:
    """Exit status: 0 after a signal, 1 when it cannot start, with one line on stderr that says why."""
    try:
        settings = load().settings
        configure("gateway", settings.log_level)
        asyncio.run(_serve(settings))
    except SwarmError as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

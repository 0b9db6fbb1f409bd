"""`python -m gateway`: the HTTP edge of this box."""

from __future__ import annotations

from gateway.app import create_app
from gateway.server import GatewayServer, bind
from services.common.channel import open_channel
from services.common.process import run
from services.common.settings import Settings


async def _serve(settings: Settings) -> None:
    listening = bind(settings.host, settings.port)
    async with open_channel(settings.address("consensus")) as channel:
        app = create_app(settings, channel)
        await GatewayServer(app, settings.drain).run_until_signal(listening)


if __name__ == "__main__":
    run("gateway", _serve)

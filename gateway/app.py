"""The HTTP application: routes, middleware and error form put together. It decides nothing."""

from __future__ import annotations

import grpc
from fastapi import FastAPI

from gateway import errors
from gateway.edge import Edge
from gateway.lifetime import Lifetime
from gateway.middleware import HostGuard, RequestEdge
from gateway.openapi import Gateway
from gateway.routes import chat, health, index, models
from gateway.upstream import Consensus
from services.common.settings import Settings


def create_app(settings: Settings, channel: grpc.aio.Channel) -> FastAPI:
    """The gateway on `channel` to the consensus service. The caller closes the channel."""
    app = Gateway(
        title="Local Swarm",
        description="The machines at hand as one OpenAI-compatible endpoint.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.edge = Edge(settings, Consensus(channel, settings), Lifetime())
    errors.install(app)
    for module in (chat, models, health, index):
        app.include_router(module.router)
    # The last one added is the outermost.
    app.add_middleware(HostGuard, allowed=settings.allowed_hosts.split(","))
    app.add_middleware(RequestEdge)
    return app

"""What the routes share: settings, the way to the consensus service, and the answers in flight."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from gateway.lifetime import Lifetime
from gateway.upstream import Consensus
from services.common.settings import Settings


@dataclass(frozen=True, slots=True)
class Edge:
    settings: Settings
    consensus: Consensus
    lifetime: Lifetime


def edge_of(request: Request) -> Edge:
    """The Edge that `create_app` put there."""
    edge: Edge = request.app.state.edge
    return edge

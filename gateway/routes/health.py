"""GET /health and /v1/health: whether a request would be answered now."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from gateway.edge import Edge, edge_of
from gateway.errors import json_response
from gateway.openapi import errors
from gateway.schemas.answers import Healthy, Unhealthy
from gateway.translate import AGENT_MODEL
from services.common.errors import SwarmError

router = APIRouter()

# The swarm's own names stand for the workers' models; they do not make a worker.
_OWN_NAMES = frozenset({"local-swarm", AGENT_MODEL})


_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": Healthy},
    503: {"model": Unhealthy, "description": "A request would not be answered"},
    **errors(403),
}


@router.get("/health", summary="Would a request be answered now?", responses=_RESPONSES)
@router.get("/v1/health", summary="Would a request be answered now?", responses=_RESPONSES)
async def health(request: Request) -> Response:
    """200 `{"status": "ok"}`, or 503 with `unavailable` naming the part that is missing."""
    report = await _report(edge_of(request))
    return json_response(report, 200 if report["status"] == "ok" else 503)


async def _report(edge: Edge) -> dict[str, Any]:
    try:
        if not await edge.consensus.serving():
            return _unavailable("consensus", "the consensus service is starting or stopping")
        models = [info.id for info in await edge.consensus.models() if info.id not in _OWN_NAMES]
    except SwarmError as error:
        return _unavailable("consensus", error.message)
    if not models:
        return _unavailable("workers", "no worker offers a model")
    return {"status": "ok", "models": models, "requests_in_flight": len(edge.lifetime)}


def _unavailable(part: str, message: str) -> dict[str, Any]:
    return {"status": "unavailable", "unavailable": part, "message": message}

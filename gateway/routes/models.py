"""GET /v1/models and /v1/models/{id}."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from gateway.edge import edge_of
from gateway.errors import json_response
from gateway.openapi import errors
from gateway.schemas.answers import Model, ModelList
from services.common.errors import Reason, SwarmError
from swarm.inference.v1 import inference_pb2

router = APIRouter()


@router.get(
    "/v1/models",
    summary="The models that can be asked now",
    responses={200: {"model": ModelList}, **errors(403, 503, 504)},
)
async def list_models(request: Request) -> Response:
    """The models of all live workers and the swarm's own names, as OpenAI lists them."""
    models = await edge_of(request).consensus.models()
    return json_response({"object": "list", "data": [_model(model) for model in models]})


@router.get(
    "/v1/models/{model:path}",
    summary="One model",
    responses={200: {"model": Model}, **errors(403, 404, 503, 504)},
)
async def retrieve_model(request: Request, model: str) -> Response:
    """404 `model_not_found` when no live worker has it."""
    models = await edge_of(request).consensus.models()
    for info in models:
        if info.id == model:
            return json_response(_model(info))
    known = ", ".join(info.id for info in models) or "none"
    raise SwarmError(
        Reason.MODEL_NOT_FOUND,
        f"The model '{model[:256]}' does not exist (there are: {known}).",
        param="model",
    )


def _model(info: inference_pb2.ModelInfo) -> dict[str, Any]:
    return {
        "id": info.id,
        "object": "model",
        "created": info.created_unix,
        "owned_by": "local-swarm",
        "context_length": info.context_length,
        "tool_format": info.tool_format,
        "display_name": info.display_name or info.id,
    }

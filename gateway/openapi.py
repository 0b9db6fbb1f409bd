"""An honest /openapi.json: the bodies that the gateway parses itself, and its own error form."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.constants import REF_PREFIX
from pydantic import BaseModel

from gateway.schemas.answers import Error
from gateway.schemas.chat import UNSUPPORTED, ChatCompletionRequest

_BODIES: tuple[type[BaseModel], ...] = (ChatCompletionRequest,)


class Gateway(FastAPI):
    """FastAPI, whose schema also knows the bodies that no route declares as a parameter."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            schema = super().openapi()
            components = schema.setdefault("components", {}).setdefault("schemas", {})
            for model in _BODIES:
                body = model.model_json_schema(ref_template=REF_PREFIX + "{model}")
                components.update(body.pop("$defs", {}))
                for name, neutral in UNSUPPORTED.items():
                    body["properties"][name] = {"enum": [None, *neutral], "description": "asks for nothing"}
                components[model.__name__] = body
        return super().openapi()


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """`openapi_extra` of a route that reads its body with `model`."""
    schema = {"$ref": REF_PREFIX + model.__name__}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route that refuses with these statuses."""
    declared: dict[int | str, dict[str, Any]] = {
        status: {"model": Error, "description": HTTPStatus(status).phrase} for status in statuses
    }
    return declared | {"default": {"model": Error, "description": "Any other error, in the same form"}}

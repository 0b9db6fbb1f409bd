from typing import Any

import grpc
import pytest
from jsonschema import Draft202012Validator

from gateway.app import create_app
from gateway.schemas.chat import UNSUPPORTED, ChatCompletionRequest
from services.common.settings import Settings


@pytest.fixture
async def schema() -> Any:
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        return create_app(Settings(), channel).openapi()


async def test_every_reference_leads_somewhere(schema: dict[str, Any]) -> None:
    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return own + [found for child in node.values() for found in references(child)]
        return [found for child in node for found in references(child)] if isinstance(node, list) else []

    found = references(schema)
    assert "#/components/schemas/ChatCompletionRequest" in found
    for reference in found:
        assert reference.removeprefix("#/components/schemas/") in schema["components"]["schemas"]


async def test_every_operation_declares_errors_in_our_form(schema: dict[str, Any]) -> None:
    operations = [operation for path in schema["paths"].values() for operation in path.values()]
    assert len(operations) == 5
    for operation in operations:
        assert operation["responses"]["default"]["content"]["application/json"]["schema"] == {
            "$ref": "#/components/schemas/Error"
        }
        assert "422" not in operation["responses"]


async def test_the_body_schema_knows_every_field_and_no_other(schema: dict[str, Any]) -> None:
    body = schema["components"]["schemas"]["ChatCompletionRequest"]
    assert set(body["properties"]) == {*ChatCompletionRequest.model_fields, *UNSUPPORTED}
    assert body["required"] == ["model", "messages"]
    assert body["additionalProperties"] is False


async def test_the_declared_schema_judges_as_the_gateway_does(schema: dict[str, Any]) -> None:
    validator = Draft202012Validator(
        {"$ref": "#/components/schemas/ChatCompletionRequest", "components": schema["components"]}
    )
    good = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "store": False}
    assert validator.is_valid(good)
    for wrong in ({"store": True}, {"temperature": 3}, {"messages": [{"role": "robot"}]}, {"foo": 1}):
        assert not validator.is_valid({**good, **wrong})

from __future__ import annotations

import pytest

from services.common.errors import Reason, SwarmError
from services.discovery.validation import check_kind, check_member
from swarm.discovery.v1 import discovery_pb2
from swarm.inference.v1 import inference_pb2


def _member() -> discovery_pb2.Member:
    return discovery_pb2.Member(
        id="w1",
        name="Zeus",
        kind=discovery_pb2.MEMBER_KIND_WORKER,
        address="127.0.0.1:17619",
        models=[inference_pb2.ModelInfo(id="m", context_length=2048)],
        slots=4,
    )


@pytest.mark.parametrize("address", ["127.0.0.1:1", "[::1]:65535", "box.local:17619"])
def test_a_proper_member_passes(address: str) -> None:
    member = _member()
    member.address = address
    check_member(member)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", ""),
        ("id", "a\nb"),
        ("id", "x" * 201),
        ("name", " "),
        ("kind", 0),
        ("kind", 99),
        ("address", ""),
        ("address", "127.0.0.1"),
        ("address", ":17619"),
        ("address", "::1:17619"),
        ("address", "host:0"),
        ("address", "host:65536"),
        ("address", "host:１"),
        ("address", "ho st:17619"),
        ("slots", -1),
    ],
)
def test_the_wrong_field_is_named(field: str, value: object) -> None:
    member = _member()
    setattr(member, field, value)
    with pytest.raises(SwarmError) as caught:
        check_member(member)
    assert caught.value.reason is Reason.INVALID_FIELD
    assert caught.value.param == f"member.{field}"


@pytest.mark.parametrize(
    ("models", "param"),
    [
        ([inference_pb2.ModelInfo(id="", context_length=1)], "member.models[0].id"),
        ([inference_pb2.ModelInfo(id="a", context_length=1)] * 2, "member.models[1].id"),
        ([inference_pb2.ModelInfo(id="a")], "member.models[0].context_length"),
    ],
)
def test_the_wrong_model_is_named(models: list[inference_pb2.ModelInfo], param: str) -> None:
    member = _member()
    del member.models[:]
    member.models.extend(models)
    with pytest.raises(SwarmError) as caught:
        check_member(member)
    assert caught.value.param == param


def test_a_kind_to_ask_for_may_be_unspecified_but_not_unknown() -> None:
    check_kind("kind", 0)
    with pytest.raises(SwarmError, match="MEMBER_KIND_WORKER"):
        check_kind("kind", 77)

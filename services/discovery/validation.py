"""What a member may say of itself. Errors name the field of the RegisterRequest."""

from __future__ import annotations

from services.common.errors import invalid
from swarm.discovery.v1 import discovery_pb2

_LONGEST = 200


def check_member(member: discovery_pb2.Member) -> None:
    """Raises SwarmError INVALID_FIELD for the first field that is wrong."""
    _check_text("member.id", member.id)
    _check_text("member.name", member.name)
    check_kind("member.kind", member.kind)
    if member.kind == discovery_pb2.MEMBER_KIND_UNSPECIFIED:
        raise invalid("member.kind", "member.kind is missing: worker, tool server, consensus or gateway")
    _check_address(member.address)
    seen: set[str] = set()
    for index, model in enumerate(member.models):
        _check_text(f"member.models[{index}].id", model.id)
        if model.id in seen:
            raise invalid(f"member.models[{index}].id", f"the model {model.id} is listed twice")
        seen.add(model.id)
        if model.context_length <= 0:
            raise invalid(
                f"member.models[{index}].context_length",
                f"the context length of {model.id} is {model.context_length}, expected at least 1 token",
            )
    if member.slots < 0:
        raise invalid("member.slots", f"member.slots is {member.slots}, expected 0 or more")


def check_kind(field: str, kind: int) -> None:
    """Raises SwarmError INVALID_FIELD for a kind that this version does not know."""
    if kind not in discovery_pb2.MemberKind.values():
        known = ", ".join(discovery_pb2.MemberKind.keys())
        raise invalid(field, f"{field} is {kind}, expected one of {known}")


def _check_text(field: str, text: str) -> None:
    if not text.strip():
        raise invalid(field, f"{field} is empty")
    if len(text) > _LONGEST:
        raise invalid(field, f"{field} has {len(text)} characters, expected at most {_LONGEST}")
    if not text.isprintable():
        raise invalid(field, f"{field} has control characters")


def _check_address(address: str) -> None:
    _check_text("member.address", address)
    host, colon, port = address.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not bare or (":" in bare) != bracketed or " " in address:
        raise invalid("member.address", f"member.address is {address}, expected host:port or [IPv6]:port")
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise invalid("member.address", f"the port of member.address is {port}, expected 1 to 65535")

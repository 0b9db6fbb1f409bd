"""Members of an object or parameters of a call: in any order, each at most once, the required ones always."""

from __future__ import annotations

from collections.abc import Sequence

from services.inference_worker.grammar.lark import Lark

# llguidance counts in 64 bits. Objects with more members have them in the schema's order.
_MOST_UNORDERED = 60

# An expression for the member, and whether it must be there.
Member = tuple[str, bool]


def members(lark: Lark, found: Sequence[Member], separator: str, end: str) -> str:
    """An expression for `found`, with the expression `separator` (or none) between them and `end` behind."""
    if not found:
        return end
    if len(found) > _MOST_UNORDERED:
        return _in_order(lark, found, separator, end)
    ordered = sorted(found, key=lambda member: not member[1])
    required = sum(needed for _, needed in ordered)
    complete = f"is_ones([0:{required}])" if required else ""
    rest = lark.fresh("p")
    lark.family([(end, complete), *_steps(ordered, rest, separator)], rest)
    if not separator:
        return f"{rest}::0x0"
    first = lark.fresh("p")
    lark.family([(end, complete), *_steps(ordered, rest, "")], first)
    return f"{first}::0x0"


def _steps(ordered: Sequence[Member], rest: str, separator: str) -> list[tuple[str, str]]:
    lead = f"{separator} " if separator else ""
    return [
        (f"{lead}{body} {rest}::set_bit({bit})", f"bit_clear({bit})") for bit, (body, _) in enumerate(ordered)
    ]


def _in_order(lark: Lark, found: Sequence[Member], separator: str, end: str) -> str:
    later = first = lark.rule(end)
    for body, needed in reversed(found):
        first = lark.rule(f"{body} {later}" + ("" if needed else f" | {first}"))
        later = lark.rule(f"{separator} {body} {later}" + ("" if needed else f" | {later}"))
    return first

"""Which tokens of a model are text: what ends or frames a turn is none, unless the format writes with it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import fields

from services.inference_worker.chat.formats import Format, Tags
from services.inference_worker.grammar.tokens import TokenTable


def table_of(
    format: Format,
    size: int,
    piece: Callable[[int], bytes],
    is_end: Callable[[int], bool],
    control: Collection[int],
) -> TokenTable:
    """`control`: tokens that frame turns and parts of them.

    Raises ValueError for a vocabulary in which nothing ends a turn.
    """
    markup = markup_of(format).encode()
    noise = {text.encode() for text in (*format.end_tokens, *format.noise)}
    ends = [token for token in range(size) if is_end(token)]
    frames = []
    for token in range(size):
        spelled = piece(token)
        if spelled in noise or (token in control and spelled not in markup):
            frames.append(token)
    return TokenTable(size, piece, ends, frames)


def markup_of(format: Format) -> str:
    """All that calls and reasoning are written with, in one text. Markers may be made of several tokens."""
    apart = ("name", "noise", "end_tokens", "name_keys", "arguments_keys", "no_call_names")
    found: list[str] = []
    for each in fields(format):
        if each.name not in apart:
            found += _texts(getattr(format, each.name))
    return "\n".join(found)


def _texts(value: object) -> list[str]:
    if isinstance(value, Tags):
        return [value.open, value.close]
    if isinstance(value, tuple):
        return [text for each in value for text in _texts(each)]
    return [value] if isinstance(value, str) else []

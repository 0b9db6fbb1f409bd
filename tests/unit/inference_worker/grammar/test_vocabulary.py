"""What of a vocabulary is text under a grammar."""

from __future__ import annotations

import pytest

from services.inference_worker.chat.formats import FORMATS
from services.inference_worker.grammar.vocabulary import table_of

_CONTROL = ("<|im_start|>", "<|channel|>", "<|message|>", "<|call|>", "<|end|>", "[ARGS]", "<|im_end|>")


def text_of(format: str) -> set[str]:
    """Control tokens that are text for a model of this format."""
    pieces = [bytes([byte]) for byte in range(256)] + [text.encode() for text in _CONTROL]
    ends = {pieces.index(b"<|im_end|>"), pieces.index(b"<|call|>")}
    control = frozenset(range(256, len(pieces)))
    table = table_of(FORMATS[format], len(pieces), pieces.__getitem__, ends.__contains__, control)
    assert table.ends == tuple(sorted(ends))
    return {pieces[token].decode() for token in control if table.text(token)}


def test_control_tokens_are_text_where_the_format_writes_with_them() -> None:
    assert text_of("hermes_json") == set()
    assert text_of("harmony") == {"<|channel|>", "<|message|>"}
    assert text_of("mistral_args") == {"[ARGS]"}


def test_a_vocabulary_without_an_end_is_refused() -> None:
    with pytest.raises(ValueError, match="end token"):
        table_of(FORMATS["hermes_json"], 256, lambda token: bytes([token]), lambda token: False, ())

"""DRY's sequence breakers: texts that end a repetition, found in tokens.

A breaker may be inside one token, or begin at a token's end and go on in the next ones. llama.cpp looks
through the whole vocabulary for them in advance; here each token is looked at when it first comes up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

# As in llama.cpp: a breaker's further tokens that count.
LONGEST_TAIL = 20

Tail = tuple[int, ...]


class Words(Protocol):
    """What a token stands for, and how a text without markup is cut into tokens."""

    def piece(self, token: int) -> bytes: ...

    def plain(self, text: bytes) -> list[int]: ...


class Breakers:
    """Safe to share by samplers of one thread."""

    def __init__(self, texts: Sequence[str], words: Words) -> None:
        self._texts = [text.encode() for text in texts if text]
        self._words = words
        self._tails: dict[int, tuple[Tail, ...]] = {}

    def tails(self, token: int) -> tuple[Tail, ...]:
        """The tokens that make a breaker together with `token` before them; empty: none begins here.

        An empty tail: the token holds a breaker by itself.
        """
        found = self._tails.get(token)
        if found is None:
            found = self._tails[token] = tuple(dict.fromkeys(self._find(self._words.piece(token))))
        return found

    def _find(self, piece: bytes) -> list[Tail]:
        found: list[Tail] = []
        for text in self._texts:
            if text in piece:
                found.append(())
                continue
            found.extend(
                tuple(self._words.plain(text[length:])[:LONGEST_TAIL])
                for length in range(min(len(piece), len(text) - 1), 0, -1)
                if piece.endswith(text[:length])
            )
        return found

"""A model's vocabulary as grammars need it: made once for each model, read by all requests."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from llguidance import LLTokenizer

# Bit `t % 32` of word `t // 32` is set where token `t` is allowed.
Bits = npt.NDArray[np.uint32]

# So many bytes of a text are looked for among all tokens.
_HEAD = 3
# llguidance takes a token that begins with this byte for one that is no text.
_NO_TEXT = b"\xff"


class TokenTable:
    """Immutable but for what it remembers; may be shared by threads.

    size: tokens of the vocabulary.
    piece: the bytes of a token.
    ends: tokens that end the model's turn.
    frames: further tokens that are never part of a text.
    """

    def __init__(
        self, size: int, piece: Callable[[int], bytes], ends: Collection[int], frames: Collection[int] = ()
    ) -> None:
        if not ends:
            raise ValueError("a vocabulary without an end token cannot be constrained")
        self.size = size
        self.ends = tuple(sorted(ends))
        hidden = {*ends, *frames}
        self._pieces = [b"" if token in hidden else piece(token) for token in range(size)]
        source = _Source(
            [
                _NO_TEXT + f"<{token}>".encode() if token in hidden else self._pieces[token]
                for token in range(size)
            ],
            self.ends[0],
            sorted(hidden),
            self.spell,
        )
        self._hidden = frozenset(piece(token) for token in hidden)
        self._sorted: list[tuple[bytes, int]] | None = None
        self._heads: dict[bytes, list[int]] = {}
        self.tokenizer = LLTokenizer(source, eos_token=list(self.ends))  # type: ignore[arg-type]

    def text(self, token: int) -> bytes:
        """The bytes of a token; none for one that is never part of a text."""
        return self._pieces[token]

    def hides(self, text: str) -> bool:
        """Whether `text` is a token that is never part of a text."""
        return text.encode() in self._hidden

    def prepare(self, texts: Iterable[bytes]) -> None:
        """Looks now for what `containing` will be asked for, and for all that `spell` needs."""
        self._ordered()
        for text in texts:
            self._with(text[:_HEAD])

    @property
    def words(self) -> int:
        """Words of a mask."""
        return (self.size + 31) // 32

    def spell(self, data: bytes) -> list[int] | None:
        """Tokens that stand for exactly these bytes; None where the vocabulary has no such."""
        tokens: list[int] = []
        at = 0
        while at < len(data):
            found = self._longest(data, at)
            if found is None:
                return None
            tokens.append(found)
            at += len(self._pieces[found])
        return tokens

    def only(self, tokens: Collection[int]) -> Bits:
        """A mask of nothing but `tokens`."""
        mask = np.zeros(self.words, np.uint32)
        for token in tokens:
            mask[token // 32] |= np.uint32(1 << token % 32)
        return mask

    def beginning_with(self, start: bytes) -> Iterator[tuple[int, bytes]]:
        """The tokens that are longer than `start` and begin with it, with what follows it."""
        ordered = self._ordered()
        for at in range(bisect_left(ordered, (start, -1)), len(ordered)):
            piece, token = ordered[at]
            if not piece.startswith(start):
                return
            if len(piece) > len(start):
                yield token, piece[len(start) :]

    def containing(self, text: bytes) -> Iterator[tuple[int, bytes]]:
        """The tokens that contain `text` and go on behind it, with what follows it."""
        for token in self._with(text[:_HEAD]):
            if rest := self._pieces[token].partition(text)[2]:
                yield token, rest

    def _with(self, head: bytes) -> list[int]:
        """The tokens that contain `head`, remembered: looking through a vocabulary takes a while."""
        found = self._heads.get(head)
        if found is None:
            found = [token for token, piece in enumerate(self._pieces) if head in piece]
            self._heads[head] = found
        return found

    def _longest(self, data: bytes, at: int) -> int | None:
        for length in range(min(16, len(data) - at), 0, -1):
            piece = data[at : at + length]
            ordered = self._ordered()
            index = bisect_left(ordered, (piece, -1))
            if index < len(ordered) and ordered[index][0] == piece:
                return ordered[index][1]
        return None

    def _ordered(self) -> list[tuple[bytes, int]]:
        if self._sorted is None:
            self._sorted = sorted((piece, token) for token, piece in enumerate(self._pieces) if piece)
        return self._sorted


class _Source:
    """What llguidance asks of a tokenizer."""

    is_tokenizer_wrapper = True
    bos_token_id = None

    def __init__(
        self,
        tokens: Sequence[bytes],
        end: int,
        hidden: Sequence[int],
        spell: Callable[[bytes], list[int] | None],
    ) -> None:
        self._spell = spell
        self.tokens = tokens
        self.eos_token_id = end
        self.special_token_ids = hidden

    def __call__(self, text: str | bytes) -> list[int]:
        return self._spell(text.encode() if isinstance(text, str) else text) or []

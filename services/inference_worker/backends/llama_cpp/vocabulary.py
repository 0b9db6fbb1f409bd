"""Text to tokens and back. Reading the vocabulary is safe from any thread."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import llama_cpp.llama_cpp as llama

from services.common.errors import Reason, SwarmError
from services.inference_worker.backends.base import Vocabulary
from services.inference_worker.backends.llama_cpp.slices import markup_pattern, slices

_PIECE_BYTES = 64
_CONTROL = llama.LLAMA_TOKEN_ATTR_CONTROL | llama.LLAMA_TOKEN_ATTR_UNKNOWN
_MARKUP = (
    llama.LLAMA_TOKEN_ATTR_CONTROL | llama.LLAMA_TOKEN_ATTR_USER_DEFINED | llama.LLAMA_TOKEN_ATTR_UNKNOWN
)


class LlamaVocabulary:
    def __init__(self, model: llama.llama_model_p) -> None:
        vocabulary = llama.llama_model_get_vocab(model)
        assert vocabulary is not None
        self._vocabulary = vocabulary
        self._pieces: dict[int, bytes] = {}
        self._condition = threading.Condition()
        self._readers = 0
        self._closed = False
        self._bos = llama.llama_vocab_bos(vocabulary)
        self._adds_bos = bool(llama.llama_vocab_get_add_bos(vocabulary)) and self._bos >= 0
        eos, size = llama.llama_vocab_eos(vocabulary), llama.llama_vocab_n_tokens(vocabulary)
        self.facts = Vocabulary(
            size,
            bos=self._text(self._bos, size),
            eos=self._text(eos, size),
            control=frozenset(token for token in range(size) if self._attributes(token) & _CONTROL),
        )
        self._markup = markup_pattern(self._markers(size))
        self._has_words = llama.llama_vocab_type(vocabulary) == llama.LLAMA_VOCAB_TYPE_BPE

    def close(self) -> None:
        """Waits for those that read the vocabulary and refuses all others: the model is about to be freed."""
        with self._condition:
            self._closed = True
            self._condition.wait_for(lambda: self._readers == 0)

    def tokenize(self, text: str) -> list[int]:
        """Raises SwarmError UNAVAILABLE after `close`."""
        found: list[int] = []
        for piece in slices(text, self._markup, self._has_words):
            found += self._cut(piece.encode("utf-8", "replace"), markup=True)
        if self._adds_bos and found[:1] != [self._bos]:
            found.insert(0, self._bos)
        return found

    def plain(self, text: bytes) -> list[int]:
        """The tokens of a text in which markup is text as well. Raises as `tokenize` does."""
        return self._cut(text, markup=False)

    def _cut(self, data: bytes, markup: bool) -> list[int]:
        room = len(data) + 1
        with self._reading():
            while True:
                tokens = (llama.llama_token * room)()
                # add_special is False: it would put an EOS behind the prompt of models that want one.
                count = llama.llama_tokenize(self._vocabulary, data, len(data), tokens, room, False, markup)
                if count >= 0:
                    return list(tokens[:count])
                room = -count

    def piece(self, token: int) -> bytes:
        """Raises SwarmError UNAVAILABLE after `close` for a token that was not read before."""
        piece = self._pieces.get(token)
        if piece is None:
            self._known(token)
            with self._reading():
                piece = self._pieces[token] = self._read_piece(token)
        return piece

    def spelling(self, token: int) -> bytes:
        """How the model file writes the token."""
        self._known(token)
        return llama.llama_vocab_get_text(self._vocabulary, token) or b""

    def is_end(self, token: int) -> bool:
        return bool(llama.llama_vocab_is_eog(self._vocabulary, token))

    def _known(self, token: int) -> None:
        """Raises ValueError for what is no token: llama.cpp would end the process."""
        if not 0 <= token < self.facts.size:
            raise ValueError(f"there is no token {token}")

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._condition:
            if self._closed:
                raise SwarmError(Reason.UNAVAILABLE, "the worker is shutting down")
            self._readers += 1
        try:
            yield
        finally:
            with self._condition:
                self._readers -= 1
                self._condition.notify_all()

    def _read_piece(self, token: int) -> bytes:
        room = _PIECE_BYTES
        while True:
            buffer = ctypes.create_string_buffer(room)
            # Markup is shown too: the parser of tool calls needs it.
            count = llama.llama_token_to_piece(self._vocabulary, token, buffer, room, 0, True)
            if count >= 0:
                return buffer.raw[:count]
            room = -count

    def _markers(self, size: int) -> Iterator[str]:
        """What is cut out of a text before it is cut into words."""
        for token in range(size):
            if self._attributes(token) & _MARKUP:
                yield self.spelling(token).decode("utf-8", "ignore")

    def _attributes(self, token: int) -> int:
        return int(llama.llama_vocab_get_attr(self._vocabulary, token))

    def _text(self, token: int, size: int) -> str:
        """Empty where the model has no such token, or names one that is not there."""
        return self._read_piece(token).decode("utf-8", "replace") if 0 <= token < size else ""

"""What holds one candidate's answer while it is generated. Quick: it works between two tokens."""

from __future__ import annotations

import codecs
from collections.abc import Mapping

import numpy as np
from llguidance import LLMatcher

from services.inference_worker.backends.base import Undrawable
from services.inference_worker.chat.machine import PushMachine
from services.inference_worker.chat.text import partial_suffix
from services.inference_worker.grammar.compiled import Compiled
from services.inference_worker.grammar.tokens import Bits, TokenTable


class Held:
    """A grammar that is at work. The mask is good until the next call."""

    def __init__(self, compiled: Compiled) -> None:
        self._matcher: LLMatcher = compiled.matcher()
        self._table = compiled.table
        self._bits = np.zeros(self._table.words, np.uint32)

    @property
    def over(self) -> bool:
        """Nothing can follow but the end of the answer."""
        return self._matcher.is_stopped()

    def mask(self) -> Bits:
        """Raises Undrawable when the grammar needs more work than it may."""
        self._matcher.unsafe_compute_mask_ptr(self._bits.ctypes.data, self._bits.nbytes)
        self._check()
        return self._bits

    def accept(self, token: int) -> None:
        self._matcher.consume_token(token)
        self._check()

    def read(self, data: bytes) -> bool:
        """Takes bytes that were not drawn. False: they do not belong to the grammar, now useless."""
        tokens = self._table.spell(data)
        return tokens is not None and self._matcher.try_consume_tokens(tokens) == len(tokens)

    def _check(self) -> None:
        if self._matcher.is_error():
            raise Undrawable(f"the grammar came to no end: {self._matcher.get_error().splitlines()[0]}")


class AnswerGuide:
    """For an answer that is held from its first token to its last."""

    def __init__(self, compiled: Compiled, forced: bytes = b"") -> None:
        """`forced`: the beginning that the prompt already contains; the grammar accepts it."""
        self._held = Held(compiled)
        if forced and not self._held.read(forced):
            raise ValueError("the grammar does not accept the beginning that was forced")

    def mask(self) -> Bits:
        return self._held.mask()

    def accept(self, token: int, piece: bytes) -> None:
        self._held.accept(token)


class CallGuide:
    """For an answer whose calls are held, and nothing else of it.

    table: the model's vocabulary.
    blocks: for each text that opens a call, the grammar of what follows it.
    reading: a machine without tools, which tells what is reasoning.
    parallel: False ends the answer behind its first call.
    first: the grammar of a call with which the answer must begin, and what of it is already in the prompt.
    at_line_start: openers count at the beginning of a line only.
    window: the end of the prompt, where an opener may have begun.
    """

    def __init__(
        self,
        table: TokenTable,
        blocks: Mapping[str, Compiled],
        reading: PushMachine,
        parallel: bool,
        first: tuple[Compiled, bytes] | None = None,
        at_line_start: bool = False,
        window: str = "\n",
    ) -> None:
        self._table = table
        self._blocks = blocks
        self._openers = tuple(blocks)
        self._longest = max(map(len, self._openers), default=0)
        self._reading = reading
        self._parallel = parallel
        self._line_start = at_line_start
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._window = window  # the end of the answer so far, in which an opener may have begun
        self._held: Held | None = None
        self._over = False
        if first is not None:
            self._begin(*first)

    def mask(self) -> Bits | None:
        if self._held is not None:
            return self._held.mask()
        if self._over:
            return self._table.only(self._table.ends)
        return None if self._reading.reasoning_open else self._crossings()

    def accept(self, token: int, piece: bytes) -> None:
        text = self._decoder.decode(piece)
        reasoned = self._reading.reasoning_open
        self._reading.feed(text)
        if self._held is not None:
            self._held.accept(token)
            self._look_whether_over()
        elif self._reading.reasoning_open:
            self._window = ""
        elif not self._over:
            self._look_for_opener(text if reasoned else self._window + text)

    def _look_for_opener(self, window: str) -> None:
        places = ((self._find(window, opener), -len(opener), opener) for opener in self._openers)
        found = [place for place in places if place[0] >= 0]
        if not found:
            self._window = window[-self._longest :]
            return
        at, _, opener = min(found)
        undecoded, _ = self._decoder.getstate()
        self._begin(self._blocks[opener], window[at + len(opener) :].encode() + undecoded)

    def _find(self, window: str, opener: str) -> int:
        if not self._line_start:
            return window.find(opener)
        at = window.find("\n" + opener)
        return at if at < 0 else at + 1

    def _begin(self, compiled: Compiled, said: bytes) -> None:
        """A call has opened; `said` of it has already been said."""
        self._held = Held(compiled)
        self._window = ""
        if said and not self._held.read(said):
            self._held = None
        else:
            self._look_whether_over()

    def _look_whether_over(self) -> None:
        if self._held is not None and self._held.over:
            self._held = None
            self._over = not self._parallel

    def _crossings(self) -> Bits | None:
        """Forbids tokens that would complete an opener and go on behind it in a way that no call does."""
        mask: Bits | None = None
        for opener, compiled in self._blocks.items():
            for seen in {0, partial_suffix(self._window, (opener,))}:
                bits = compiled.crossings(opener, len(opener[:seen].encode()))
                if bits is not None:
                    mask = bits if mask is None else mask & bits
        return mask

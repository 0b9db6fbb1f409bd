"""Grammars ready for use, kept by their content: tools stay the same from turn to turn."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable

from llguidance import LLMatcher

from services.inference_worker.grammar.tokens import Bits, TokenTable

# Grammars that are kept, and their characters together: each takes a hundred bytes of memory and more.
_KEPT, _KEPT_CHARACTERS = 64, 400_000


class GrammarError(ValueError):
    """A grammar that cannot be used; the text says why, in one line."""


class Compiled:
    """A grammar at its start. `matcher` gives one that goes on from there, for one candidate's thread."""

    def __init__(self, table: TokenTable, grammar: str) -> None:
        """Raises GrammarError."""
        self.table = table
        self._start = LLMatcher(table.tokenizer, grammar, log_level=0)
        if self._start.is_error():
            raise GrammarError(_first_line(self._start.get_error()))
        self._lock = threading.Lock()
        self._crossings: dict[Hashable, Bits | None] = {}

    def matcher(self) -> LLMatcher:
        with self._lock:
            return self._start.deep_copy()

    def accepts(self, data: bytes) -> bool:
        """Whether a text of the grammar may begin with `data`."""
        tokens = self.table.spell(data)
        return tokens is not None and self.matcher().validate_tokens(tokens) == len(tokens)

    def crossings(self, opener: str, seen: int) -> Bits | None:
        """With `seen` bytes of `opener` said: the tokens but those that complete it and go on wrongly.

        None: there is none of those.
        """
        key = (opener, seen)
        if key not in self._crossings:
            self._crossings[key] = self._find_crossings(opener.encode(), seen)
        return self._crossings[key]

    def _find_crossings(self, opener: bytes, seen: int) -> Bits | None:
        table = self.table
        found = table.beginning_with(opener[seen:]) if seen else table.containing(opener)
        wrong = [token for token, rest in found if not self.accepts(rest)]
        return ~table.only(wrong) if wrong else None


class Compiler:
    """Makes grammars and keeps the last of them. May be used from several threads."""

    def __init__(self, table: TokenTable) -> None:
        self.table = table
        self._kept: OrderedDict[str, Compiled] = OrderedDict()
        self._lock = threading.Lock()

    def compile(self, grammar: str) -> Compiled:
        """Raises GrammarError."""
        with self._lock:
            if (known := self._kept.get(grammar)) is not None:
                self._kept.move_to_end(grammar)
                return known
        made = Compiled(self.table, grammar)
        with self._lock:
            made = self._kept.setdefault(grammar, made)
            while len(self._kept) > 1 and (
                len(self._kept) > _KEPT or sum(map(len, self._kept)) > _KEPT_CHARACTERS
            ):
                self._kept.popitem(last=False)
        return made

    def problem(self, grammar: str) -> str:
        """What is wrong with a grammar, in one line; empty if nothing is."""
        return _first_line(LLMatcher.validate_grammar(grammar, self.table.tokenizer))


def _first_line(message: str) -> str:
    return message.strip().partition("\n")[0]

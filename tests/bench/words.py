"""A vocabulary of made-up words, as large as real ones, and texts whose length in tokens is known. Pure.

No training and no corpus: syllables join to pairs and pairs to words by merges whose order makes every word
of the list exactly one token, with the blank before it. The same on every machine.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from itertools import product

SIZE = 151_936
END_OF_TEXT, TURN_START, TURN_END, PAD = "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"
SPECIAL = (END_OF_TEXT, TURN_START, TURN_END, PAD)
_SYLLABLES = tuple(f"{c}{v}" for c, v in product("bcdfghjklmnpqrstvwxz", "aeiou"))
_SEED = 1


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """`tokens` in the spelling of byte-level BPE; `merges` in order; `words` without their leading blank."""

    tokens: tuple[str, ...]
    merges: tuple[str, ...]
    words: tuple[str, ...]


def byte_spelling() -> list[str]:
    """The 256 bytes as byte-level BPE spells them: printable ones as they are, the others moved up."""
    printable = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    moved = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(moved)) for byte in range(256)]


BLANK = byte_spelling()[ord(" ")]


@cache
def vocabulary() -> Vocabulary:
    """Bytes, syllables, pairs, words of three syllables, both again with a blank, and the special tokens."""
    count = len(_SYLLABLES)
    pairs = [(a, b) for a in range(count) for b in range(count)]
    drawing = random.Random(_SEED)
    drawing.shuffle(pairs)
    rank = {pair: place for place, pair in enumerate(pairs)}
    # The first pair of a word is merged before its second, or the word would not become one token.
    triples = [
        (a, b, c) for a, b in pairs for c in drawing.sample(range(count), 20) if rank[a, b] < rank[b, c]
    ]
    drawing.shuffle(triples)
    fixed = 256 + count + 2 * len(pairs) + len(SPECIAL)
    triples = triples[: (SIZE - fixed) // 2]
    s = _SYLLABLES
    long_words = [s[a] + s[b] + s[c] for a, b, c in triples]
    short_words = [s[a] + s[b] for a, b in pairs]
    merges = [
        *(f"{syllable[0]} {syllable[1]}" for syllable in s),
        *(f"{s[a]} {s[b]}" for a, b in pairs),
        *(f"{s[a]}{s[b]} {s[c]}" for a, b, c in triples),
        *(f"{BLANK} {word}" for word in (*long_words, *short_words)),
    ]
    tokens = (*byte_spelling(), *(merge.replace(" ", "") for merge in merges), *SPECIAL)
    assert len(tokens) == len(set(tokens)) == SIZE
    return Vocabulary(tokens, tuple(merges), tuple(long_words))


def text(tokens: int, seed: int) -> str:
    """A text of `tokens` different words, each one token with the blank before it."""
    return "".join(f" {word}" for word in random.Random(seed).sample(vocabulary().words, tokens))


def uncopied(tokens: int, seed: int) -> str:
    """The same with a full stop behind the first word, whose continuation is then nowhere to be found."""
    first, _, rest = text(tokens - 2, seed)[1:].partition(" ")
    return f" {first} . {rest}"


def repeats(spoken: str) -> bool:
    """Whether a word stands twice in it: from there on a copying model copies."""
    found = spoken.split()
    return len(set(found)) < len(found)

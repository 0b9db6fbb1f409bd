"""Long texts in slices that llama.cpp can tokenise one by one; together they give the same tokens.

Two of its ways with a text in one piece do not hold. Most pre-tokenizers are a std::regex, which recurses at
every character of a word: some ten thousand letters, signs or blanks in a row end the process. And the search
for markup takes time that grows with the square of the markers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise

# Characters: an eighth of what the usual stack of 8 MiB holds with the hungriest of the expressions.
LONGEST_WORD = 2_048
MOST_MARKERS = 1_000

# One of these signs behind a letter or a digit begins a word in every pre-tokenizer.
_BORDER = re.compile(r"(?<=[^\W_])(?=[.,!?(\u3002\uff0c\u3001])")


def markup_pattern(markers: Iterable[str]) -> re.Pattern[str] | None:
    """Finds `markers`, the longest first as llama.cpp does; None if there are none."""
    longest_first = sorted({marker for marker in markers if marker}, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None


def slices(text: str, markup: re.Pattern[str] | None, words: bool) -> list[str]:
    """`text` in one piece, if that holds. It is cut before markers where there are many of them, and, with
    `words`, inside what is too long for one word: there where a word ends anyway, if such a place is near."""
    cuts = [0, *_cuts(text, markup, words), len(text)]
    return [text[start:end] for start, end in pairwise(cuts)]


def _cuts(text: str, markup: re.Pattern[str] | None, words: bool) -> Iterator[int]:
    too_long = re.compile(rf"\S{{{LONGEST_WORD + 1},}}|\s{{{LONGEST_WORD + 1},}}")
    done = 0
    markers = 0
    for marker in markup.finditer(text) if markup is not None else ():
        if words:
            yield from _inside(text, too_long, done, marker.start())
        if markers == MOST_MARKERS:
            yield marker.start()
            markers = 0
        markers += 1
        done = marker.end()
    if words:
        yield from _inside(text, too_long, done, len(text))


def _inside(text: str, too_long: re.Pattern[str], start: int, end: int) -> Iterator[int]:
    """Cuts in the stretches of text[start:end] without a blank, or without anything but blanks."""
    for stretch in too_long.finditer(text, start, end):
        at = stretch.start()
        while stretch.end() - at > LONGEST_WORD:
            half, most = at + LONGEST_WORD // 2, at + LONGEST_WORD
            borders = [border.start() for border in _BORDER.finditer(text, half, most)]
            at = borders[-1] if borders else most
            yield at

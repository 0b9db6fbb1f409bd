"""The vocabulary: every word of a text is one token, as llama.cpp's merges would have it."""

from __future__ import annotations

import itertools

from tests.bench import words


def bpe(piece: str, ranks: dict[tuple[str, str], int]) -> list[str]:
    """Byte-pair encoding of one word, by the book: the lowest merge first."""
    parts = list(piece)
    while len(parts) > 1:
        pairs = [(ranks.get((a, b), len(ranks)), at) for at, (a, b) in enumerate(itertools.pairwise(parts))]
        rank, at = min(pairs)
        if rank == len(ranks):
            break
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts


def test_a_word_with_its_blank_is_one_token() -> None:
    vocabulary = words.vocabulary()
    ranks = {(a, b): rank for rank, (a, b) in enumerate(merge.split(" ") for merge in vocabulary.merges)}
    spoken = words.text(500, seed=3).split()
    assert len(spoken) == 500
    for word in spoken:
        assert bpe(words.BLANK + word, ranks) == [words.BLANK + word]


def test_the_vocabulary_has_the_size_of_a_real_one() -> None:
    vocabulary = words.vocabulary()
    assert len(set(vocabulary.tokens)) == 151_936
    assert vocabulary.tokens[-4:] == words.SPECIAL


def test_texts_follow_from_their_seed_and_repeat_nothing() -> None:
    assert words.text(100, 1) == words.text(100, 1) != words.text(100, 2)
    assert not words.repeats(words.text(5_000, 1))
    assert words.repeats(words.text(3, 1) + words.text(1, 1) + " x" + words.text(3, 1))


def test_the_first_word_of_an_uncopied_text_has_no_continuation() -> None:
    plain = words.uncopied(10, 4).split()
    assert plain[1] == "."
    assert len(plain) == 9  # a blank and a full stop are tokens of their own

from services.common.text import shorten


def test_one_line_of_at_most_so_many_characters() -> None:
    assert shorten("a\n  b", 10) == "a b"
    assert shorten("abcdef", 4) == "abc…"
    assert len(shorten("x" * 999, 100)) == 100


def test_what_cannot_be_encoded_is_escaped() -> None:
    assert shorten("a\ud800", 20) == "a\\ud800"

"""Tokens to text: characters and stop strings that are split over tokens."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.inference_worker.engine.stops import TextAssembler


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def run(stops: list[str], pieces: list[bytes]) -> tuple[str, bool]:
    """The text of a whole answer, read as the engine reads it: nothing is fed after a stop."""
    assembler = TextAssembler(stops)
    text = ""
    for piece in pieces:
        text += assembler.feed(piece)
        if assembler.stopped:
            return text, True
    text += assembler.finish()
    return text, assembler.stopped


def cut_at_first(text: str, stops: list[str]) -> tuple[str, bool]:
    """Plainly: the text before the stop string that is complete first, as characters come in."""
    for end in range(1, len(text) + 1):
        starts = [at for stop in stops if (at := text[:end].find(stop)) >= 0]
        if starts:
            return text[: min(starts)], True
    return text, False


def test_a_character_split_over_tokens_comes_out_whole() -> None:
    assembler = TextAssembler()
    assert [assembler.feed(bytes([byte])) for byte in "é€🙂".encode()] == [
        "", "é", "", "", "€", "", "", "", "🙂",
    ]  # fmt: skip


def test_an_unfinished_character_at_the_end_is_replaced() -> None:
    assembler = TextAssembler()
    assert assembler.feed("🙂".encode()[:3]) == ""
    assert assembler.finish() == "\ufffd"


def test_invalid_bytes_do_not_hold_up_what_follows() -> None:
    assembler = TextAssembler()
    assert assembler.feed(b"a\xffb") == "a\ufffdb"


def test_a_stop_over_three_tokens_is_never_seen() -> None:
    assembler = TextAssembler(["</end>"])
    assert assembler.feed(b"hello<") == "hello"
    assert assembler.feed(b"/en") == ""
    assert assembler.feed(b"d> more") == ""
    assert assembler.stopped
    assert assembler.finish() == ""


def test_what_only_looked_like_a_stop_is_given_back() -> None:
    assembler = TextAssembler(["</end>"])
    assert assembler.feed(b"a</en") == "a"
    assert assembler.feed(b"ough") == "</enough"
    assert not assembler.stopped


def test_the_held_tail_comes_out_at_the_end() -> None:
    assembler = TextAssembler(["stop"])
    assert assembler.feed(b"non-st") == "non-"
    assert assembler.finish() == "st"


def test_a_repeating_beginning_is_not_missed() -> None:
    assert run(["aab"], [b"a"] * 3 + [b"b", b"c"]) == ("a", True)


def test_of_two_stops_in_one_token_the_one_complete_first_wins() -> None:
    assert run(["world", "lo"], [b"hello world"]) == ("hel", True)
    assert run(["hello", "l"], [b"hello world"]) == ("he", True)


@given(text=st.text(), cuts=st.lists(st.integers(0, 200)))
def test_any_split_gives_the_same_text(text: str, cuts: list[int]) -> None:
    assert run([], pieces_of(text.encode(), cuts)) == (text, False)


@given(
    text=st.text(alphabet="abé🙂", max_size=30),
    stops=st.lists(st.text(alphabet="abé🙂", min_size=1, max_size=4), min_size=1, max_size=3),
    cuts=st.lists(st.integers(0, 90)),
)
def test_stops_cut_where_a_reader_of_single_characters_would(
    text: str, stops: list[str], cuts: list[int]
) -> None:
    assert run(stops, pieces_of(text.encode(), cuts)) == cut_at_first(text, stops)
    assert run(stops, [bytes([byte]) for byte in text.encode()]) == cut_at_first(text, stops)


@given(
    text=st.text(alphabet="ab€", max_size=30),
    stops=st.lists(st.text(alphabet="ab€", min_size=1, max_size=4), min_size=1, max_size=3),
    cuts=st.lists(st.integers(0, 90)),
)
def test_no_stop_string_ever_gets_out(text: str, stops: list[str], cuts: list[int]) -> None:
    said, stopped = run(stops, pieces_of(text.encode(), cuts))
    assert not any(stop in said for stop in stops)
    assert text.startswith(said)
    assert stopped == any(stop in text for stop in stops)
    assert stopped or said == text


@given(data=st.binary(max_size=60), cuts=st.lists(st.integers(0, 60)))
def test_any_bytes_decode_as_a_whole_would(data: bytes, cuts: list[int]) -> None:
    assert run([], pieces_of(data, cuts))[0] == data.decode("utf-8", "replace")

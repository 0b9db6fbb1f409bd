from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from services.tool_server.sandbox.output import HeadTail, Streamed

CHUNKS = st.lists(st.binary(max_size=40), max_size=30)
LEFT_OUT = re.compile(r"\n\[… (\d+) bytes left out …\]\n")


def _fed(limit: int, chunks: list[bytes]) -> HeadTail:
    output = HeadTail(limit)
    for chunk in chunks:
        output.feed(chunk)
    return output


@given(CHUNKS, st.integers(1, 200))
def test_what_fits_is_whole_and_what_does_not_keeps_both_ends(chunks: list[bytes], limit: int) -> None:
    data = b"".join(chunks).translate(None, bytes(range(128, 256)))
    output = _fed(limit, [chunk.translate(None, bytes(range(128, 256))) for chunk in chunks])
    assert output.truncated == (len(data) > limit)
    text = output.text()
    if len(data) <= limit:
        assert text == data.decode()
        return
    head, dropped, tail = LEFT_OUT.split(text, maxsplit=1)
    assert data.decode().startswith(head)
    assert data.decode().endswith(tail)
    assert len(head) + len(tail) == limit
    assert int(dropped) == len(data) - limit


@given(st.text(min_size=1, max_size=300), st.integers(8, 60))
def test_no_character_is_cut_in_two(text: str, limit: int) -> None:
    output = _fed(limit, [bytes([byte]) for byte in text.encode()])
    assert "\ufffd" not in output.text().replace("\ufffd", "", text.count("\ufffd"))


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert _fed(100, [b"a\xff", b"\xc3", b"\xa4b"]).text() == "a\ufffdäb"


def test_memory_does_not_grow_with_the_output() -> None:
    output = HeadTail(1000)
    for _ in range(10_000):
        output.feed(b"x" * 700)
    assert len(output._tail) <= 1700
    assert "[… 6999000 bytes left out …]" in output.text()


@given(CHUNKS)
def test_what_is_streamed_is_the_whole_while_it_fits(chunks: list[bytes]) -> None:
    streamed = Streamed(10_000)
    text = "".join(streamed.feed(chunk) for chunk in chunks) + streamed.finish()
    assert text == b"".join(chunks).decode(errors="replace")


def test_streaming_ends_with_one_note() -> None:
    streamed = Streamed(5)
    texts = [streamed.feed(chunk) for chunk in (b"abc", b"def", b"ghi")] + [streamed.finish()]
    assert texts == ["abc", "de\n[the output goes on; the result has its end]\n", "", ""]
    exact = Streamed(3)
    assert [exact.feed(b"abc"), exact.feed(b""), exact.finish()] == ["abc", "", ""]

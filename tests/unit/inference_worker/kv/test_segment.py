"""The file format: what was written is read, anything else is refused."""

from __future__ import annotations

import hashlib

import pytest

from services.inference_worker.kv import segment as module
from services.inference_worker.kv.blocks import BLOCK, Block, make_block, pack, root_key
from services.inference_worker.kv.eviction import Rank
from services.inference_worker.kv.segment import (
    MAX_HEADER,
    PREFIX_BYTES,
    BadSegment,
    Run,
    Segment,
    decode,
    encode,
    header_length,
)
from tests.unit.inference_worker.kv.keeping import talk

ROOT = root_key("model")


def run(*sizes: int, whole: bool = False) -> Run:
    """Blocks of these numbers of tokens, with payloads of different lengths."""
    blocks: list[Block] = []
    parent, start = ROOT, 0
    for index, size in enumerate(sizes):
        blocks.append(make_block(parent, start, pack(talk(index, size)), whole))
        parent, start = blocks[-1].key, blocks[-1].end
    return Run(ROOT, tuple(blocks), tuple(bytes([index]) * (7 * index) for index in range(len(sizes))))


def written(made: Run) -> bytes:
    return encode(made, "name", Rank.MAIN)[0] + b"".join(made.states)


def read(data: bytes, root: bytes = ROOT) -> Segment:
    length = header_length(data[:PREFIX_BYTES], len(data))
    return decode(data[:length], len(data), root, "name", Rank.SIDE)


def sealed(data: bytes, header: int) -> bytes:
    """The file with the checksum of its header made right."""
    return data[: header - 32] + hashlib.sha256(data[: header - 32]).digest() + data[header:]


@pytest.mark.parametrize(
    "made", [run(BLOCK), run(BLOCK, BLOCK, BLOCK), run(BLOCK, 5), run(1), run(1_000, whole=True)]
)
def test_what_was_written_is_read(made: Run) -> None:
    data = written(made)
    segment = read(data)
    assert segment.blocks == made.blocks
    assert [block.tokens for block in segment.blocks] == [block.tokens for block in made.blocks]
    assert [block.start for block in segment.blocks] == [block.start for block in made.blocks]
    assert [block.whole for block in segment.blocks] == [block.whole for block in made.blocks]
    assert segment.size == len(data) == made.file_size
    for offset, length, state in zip(segment.offsets, segment.lengths, made.states, strict=True):
        assert data[offset : offset + length] == state
    assert (segment.name, segment.rank) == ("name", Rank.SIDE)


def test_every_flipped_bit_of_the_header_is_noticed() -> None:
    made = run(BLOCK, 3)
    data = bytearray(written(made))
    for at in range(len(data) - sum(map(len, made.states))):
        data[at] ^= 1 << at % 8
        with pytest.raises(BadSegment):
            read(bytes(data))
        data[at] ^= 1 << at % 8
    read(bytes(data))


def test_every_truncation_and_growth_is_noticed() -> None:
    data = written(run(BLOCK, 3))
    for size in range(len(data)):
        with pytest.raises(BadSegment):
            read(data[:size])
    with pytest.raises(BadSegment, match="bytes"):
        read(data + b"\0")


def test_another_model_is_refused() -> None:
    with pytest.raises(BadSegment, match="another model"):
        read(written(run(BLOCK)), root_key("other"))


def test_another_version_is_refused() -> None:
    data = bytearray(written(run(BLOCK)))
    data[8] += 1
    with pytest.raises(BadSegment, match="version"):
        read(bytes(data))


def test_no_more_than_the_file_or_the_bound_is_asked_for() -> None:
    prefix = written(run(BLOCK))[:12]
    with pytest.raises(BadSegment, match="header"):
        header_length(prefix + (1 << 20).to_bytes(4, "little"), 1_000)
    with pytest.raises(BadSegment, match="header"):
        header_length(prefix + (MAX_HEADER + 1).to_bytes(4, "little"), 1 << 40)
    with pytest.raises(BadSegment, match="header"):
        header_length(prefix + (10).to_bytes(4, "little"), 1_000)


# The common fields: root, parent, start, number of blocks, whole; then the first block's number of tokens.
START, COUNT, WHOLE, TOKENS = (PREFIX_BYTES + 64 + 4 * index for index in range(4))


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (START, 1),
        (COUNT, 0),
        (COUNT, 1),
        (COUNT, 3),
        (COUNT, 2**32 - 1),
        (WHOLE, 1),
        (WHOLE, 2),
        (TOKENS, 0),
        (TOKENS, 63),
        (TOKENS, 65),
        (TOKENS, 2**32 - 1),
    ],
)
def test_an_impossible_header_is_refused_even_with_a_right_checksum(at: int, value: int) -> None:
    made = run(BLOCK, 3)
    data = written(made)
    header = header_length(data[:PREFIX_BYTES], len(data))
    with pytest.raises(BadSegment):
        read(sealed(data[:at] + value.to_bytes(4, "little") + data[at + 4 :], header))


def test_a_header_beyond_the_bound_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_HEADER", 1_000)
    with pytest.raises(ValueError, match="blocks"):
        encode(run(1_000, whole=True), "name", Rank.MAIN)

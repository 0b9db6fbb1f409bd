"""The file format of kept blocks: one file holds a run of consecutive blocks of one chain.

    magic, version, header length          16 bytes
    root key, parent key                   32 bytes each
    start, number of blocks, whole         12 bytes
    of each block: number of tokens, payload length, SHA-256 of the payload, the tokens
    SHA-256 of all the header before
    the payloads, one behind the other

Nothing that a header says is used before its own checksum is verified. Pure: bytes in, bytes out.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from services.inference_worker.kv.blocks import BLOCK, KEY_BYTES, TOKEN_BYTES, Block, make_block, pack
from services.inference_worker.kv.eviction import Rank

MAGIC = b"SWARM-KV"
VERSION = 1
MAX_HEADER = 64 << 20
"""Longer headers are refused before they are read: a snapshot of 16 million tokens is no snapshot."""

_PREFIX = struct.Struct("<8sII")
_COMMON = struct.Struct("<32s32sIII")
_ENTRY = struct.Struct("<IQ32s")
_DIGEST_BYTES = 32

PREFIX_BYTES = _PREFIX.size
MIN_HEADER = PREFIX_BYTES + _COMMON.size + _ENTRY.size + TOKEN_BYTES + _DIGEST_BYTES


class BadSegment(ValueError):
    """The file is damaged, of another version or of another model."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one file is made of: consecutive blocks and their payloads, or one whole snapshot."""

    root: bytes
    blocks: tuple[Block, ...]
    states: tuple[bytes, ...]

    @property
    def file_size(self) -> int:
        header = PREFIX_BYTES + _COMMON.size + _DIGEST_BYTES
        tokens = sum(_ENTRY.size + len(block.tokens) * TOKEN_BYTES for block in self.blocks)
        return header + tokens + sum(map(len, self.states))


@dataclass(slots=True, eq=False)
class Segment:
    """A verified header: of `blocks[i]`'s payload where it begins, its bytes and its SHA-256.

    `rank` is the highest that is known of those who use it; it is not in the header, because it may rise.
    """

    name: str
    rank: Rank
    blocks: tuple[Block, ...]
    offsets: tuple[int, ...]
    lengths: tuple[int, ...]
    digests: tuple[bytes, ...]

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return self.offsets[-1] + self.lengths[-1]


def encode(run: Run, name: str, rank: Rank) -> tuple[bytes, Segment]:
    """The header of the file, and the segment that it describes. Raises ValueError for too long a header."""
    first = run.blocks[0]
    digests = tuple(hashlib.sha256(state).digest() for state in run.states)
    lengths = tuple(len(state) for state in run.states)
    parts = [_COMMON.pack(run.root, first.parent, first.start, len(run.blocks), first.whole)]
    for block, length, digest in zip(run.blocks, lengths, digests, strict=True):
        parts += (_ENTRY.pack(len(block.tokens), length, digest), pack(block.tokens))
    size = PREFIX_BYTES + sum(map(len, parts)) + _DIGEST_BYTES
    if size > MAX_HEADER:
        raise ValueError(f"blocks: their header would have {size} bytes, {MAX_HEADER} are allowed")
    header = _PREFIX.pack(MAGIC, VERSION, size) + b"".join(parts)
    header += hashlib.sha256(header).digest()
    return header, Segment(name, rank, run.blocks, _offsets(size, lengths), lengths, digests)


def header_length(prefix: bytes, file_size: int) -> int:
    """How long the header of a file is that begins with `prefix`. Raises BadSegment."""
    if len(prefix) < PREFIX_BYTES:
        raise BadSegment(f"{file_size} bytes are too few for a header")
    magic, version, length = _PREFIX.unpack_from(prefix)
    if magic != MAGIC:
        raise BadSegment("it does not begin as kept state does")
    if version != VERSION:
        raise BadSegment(f"version {version}, not {VERSION}")
    if not MIN_HEADER <= length <= min(file_size, MAX_HEADER):
        raise BadSegment(f"a header of {length} bytes in a file of {file_size}")
    return int(length)


def decode(header: bytes, file_size: int, root: bytes, name: str, rank: Rank) -> Segment:
    """The segment that a whole header describes. Raises BadSegment."""
    body, digest = header[:-_DIGEST_BYTES], header[-_DIGEST_BYTES:]
    if hashlib.sha256(body).digest() != digest:
        raise BadSegment("the checksum of the header is wrong")
    theirs, parent, start, count, whole = _COMMON.unpack_from(body, PREFIX_BYTES)
    if theirs != root:
        raise BadSegment("it belongs to another model")
    if whole > 1 or (whole and (start or count != 1)) or start % BLOCK:
        raise BadSegment(f"an impossible run: whole {whole}, start {start}, {count} blocks")
    blocks: list[Block] = []
    lengths: list[int] = []
    digests: list[bytes] = []
    at = PREFIX_BYTES + _COMMON.size
    for index in range(count):
        if at + _ENTRY.size > len(body):
            raise BadSegment("the header ends within a block")
        tokens, length, payload_digest = _ENTRY.unpack_from(body, at)
        at += _ENTRY.size
        chunk = body[at : at + tokens * TOKEN_BYTES]
        at += tokens * TOKEN_BYTES
        last = index == count - 1
        if at > len(body) or not tokens or not (whole or tokens == BLOCK or (last and tokens < BLOCK)):
            raise BadSegment(f"a block of {tokens} tokens")
        block = make_block(parent, start, chunk, bool(whole))
        parent, start = block.key, block.end
        blocks.append(block)
        lengths.append(length)
        digests.append(payload_digest)
    if at != len(body) or not blocks:
        raise BadSegment("the header's length does not fit its blocks")
    segment = Segment(
        name, rank, tuple(blocks), _offsets(len(header), lengths), tuple(lengths), tuple(digests)
    )
    if segment.size != file_size:
        raise BadSegment(f"{file_size} bytes, {segment.size} are wanted")
    return segment


def _offsets(start: int, lengths: Sequence[int]) -> tuple[int, ...]:
    offsets = []
    for length in lengths:
        offsets.append(start)
        start += length
    return tuple(offsets)


assert hashlib.sha256().digest_size == KEY_BYTES == _DIGEST_BYTES

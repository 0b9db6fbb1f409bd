"""Blocks of tokens and their keys.

A key is a SHA-256 chained over all tokens from the first one on and rooted in the fingerprint, so equal keys
mean equal prefixes under equal models. Tokens are packed as int32, little-endian, wherever they are hashed,
compared or stored.
"""

from __future__ import annotations

import hashlib
import sys
from array import array
from dataclasses import dataclass, field

BLOCK = 64
"""Tokens of a full block."""
TOKEN_BYTES = 4
BLOCK_BYTES = BLOCK * TOKEN_BYTES
KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Block:
    """The tokens [start, end) of a chain; `parent` is the key of the block before (the root for the first).

    `whole`: a snapshot of the state of all tokens from 0 to `end`, good only for prompts that begin with all
    of them. Equal keys are equal blocks.
    """

    key: bytes
    parent: bytes = field(compare=False)
    start: int = field(compare=False)
    tokens: array[int] = field(compare=False, repr=False)
    whole: bool = field(default=False, compare=False)

    @property
    def end(self) -> int:
        return self.start + len(self.tokens)


@dataclass(frozen=True, slots=True)
class Found:
    """`length` leading tokens are kept in `blocks`, in order; it may end inside the last of them."""

    blocks: tuple[Block, ...] = ()
    length: int = 0


def root_key(fingerprint: str) -> bytes:
    """The parent of every first block of this model."""
    return hashlib.sha256(b"local-swarm kv root\0" + fingerprint.encode()).digest()


def make_block(parent: bytes, start: int, chunk: bytes, whole: bool = False) -> Block:
    """The block of the packed tokens `chunk` behind `parent`."""
    kind = b"whole\0" if whole else b"block\0"
    key = hashlib.sha256(kind + parent + chunk).digest()
    return Block(key, parent, start, unpack(chunk), whole)


def pack(tokens: array[int]) -> bytes:
    """int32 little-endian."""
    if tokens.typecode != "i" or tokens.itemsize != TOKEN_BYTES:
        raise ValueError(f"tokens: an array of 32-bit 'i' is wanted, not of {tokens.typecode!r}")
    if sys.byteorder == "big":
        tokens = tokens[:]
        tokens.byteswap()
    return tokens.tobytes()


def unpack(chunk: bytes) -> array[int]:
    tokens = array("i", chunk)
    if sys.byteorder == "big":
        tokens.byteswap()
    return tokens


def common_tokens(one: bytes, other: bytes) -> int:
    """Leading tokens that two packed chunks of at most a block share."""
    size = min(len(one), len(other))
    one, other = one[:size], other[:size]
    if one == other:
        return size // TOKEN_BYTES
    # The lowest set bit of the difference lies in the first byte that differs.
    different = int.from_bytes(one, "little") ^ int.from_bytes(other, "little")
    return ((different & -different).bit_length() - 1) // (8 * TOKEN_BYTES)

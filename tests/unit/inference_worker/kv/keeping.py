"""Conversations for a store, with payloads that are known from their tokens alone."""

from __future__ import annotations

import hashlib
from array import array
from random import Random

from services.inference_worker.kv.blocks import BLOCK, Found, pack
from services.inference_worker.kv.eviction import Owner
from services.inference_worker.kv.store import KvStore

FINGERPRINT = "0123456789abcdef" * 4
OTHER_FINGERPRINT = "fedcba9876543210" * 4


class Clock:
    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def talk(seed: int, length: int, before: array[int] | None = None) -> array[int]:
    """`length` tokens that go on from `before`."""
    random = Random(seed)
    new = array("i", (random.randrange(151_936) for _ in range(length)))
    return before + new if before is not None else new


def payload(tokens: array[int], start: int, end: int, size: int = 100) -> bytes:
    """What only these tokens' state would be."""
    seed = hashlib.sha256(pack(tokens[:end]) + start.to_bytes(8, "little")).digest()
    return (seed * (size // len(seed) + 1))[:size]


def keep(
    store: KvStore, tokens: array[int], owner: Owner | None = None, size: int = 100, commit: bool = True
) -> bool:
    """Saves as the engine does: from what is held on, block by block. False: there was no room."""
    owner = owner or Owner()
    kept = True
    for start in range(store.held(tokens), len(tokens), BLOCK):
        end = min(start + BLOCK, len(tokens))
        kept = kept and store.put(tokens, start, end, payload(tokens, start, end, size), owner)
    if commit:
        store.commit()
    return kept


def check(store: KvStore, tokens: array[int], limit: int | None = None, size: int = 100) -> Found:
    """Asks for the tokens and reads all that is found; what is read must be right. What could be read."""
    found = store.longest(tokens, len(tokens) if limit is None else limit)
    for index, block in enumerate(found.blocks):
        common = min(block.end, found.length)
        assert block.tokens[: common - block.start] == tokens[block.start : common]
        read = store.read(block)
        if read is None:
            return Found(found.blocks[:index], block.start)
        whole_chain = tokens[: block.start] + block.tokens
        assert read[0] == payload(whole_chain, block.start, block.end, size)
    return found

"""KV state that outlives its sequence, found again by the longest prefix, exact to the token.

A store belongs to the engine's thread, but for `flush` and `close`. What it keeps are opaque bytes.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable

from services.inference_worker.kv.blocks import BLOCK, TOKEN_BYTES, Block, Found, make_block, pack, root_key
from services.inference_worker.kv.disk import DiskTier
from services.inference_worker.kv.eviction import PIN_SECONDS, Owner, Rank
from services.inference_worker.kv.ram import RamTier
from services.inference_worker.kv.status import StoreStatus, Tier, TierStatus
from services.inference_worker.kv.tree import Node, Tree


class KvStore:
    """The kept state of one model (`fingerprint`), in `ram_bytes` of memory and, if given, on disk."""

    def __init__(
        self,
        fingerprint: str,
        ram_bytes: int,
        disk: DiskTier | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if ram_bytes < 0:
            raise ValueError(f"ram_bytes: {ram_bytes} is negative")
        self._clock = clock
        self._now = 0.0
        self._tree = Tree(root_key(fingerprint))
        self._ram = RamTier(ram_bytes)
        self._pins: dict[str, Node] = {}

    def longest(self, tokens: array[int], limit: int) -> Found:
        """The longest kept prefix of tokens[:limit], in RAM or on disk. Reads no payload.

        A block of ranges that matches in part counts in part; a whole snapshot only if all of it matches.
        """
        data = pack(tokens[: max(0, limit)])
        chain, length = self._tree.match(data)
        whole = self._tree.match_whole(data)
        if whole is not None and whole.block.end > length:
            return Found((whole.block,), whole.block.end)
        return Found(tuple(node.block for node in chain), length)

    def held(self, tokens: array[int]) -> int:
        """Where saving these tokens begins: a multiple of BLOCK, or their number if all of them are kept."""
        data = pack(tokens)
        _, length = self._tree.match(data)
        if length == len(tokens):
            return length
        whole = self._tree.match_whole(data)
        if whole is not None and whole.block.end == len(tokens):
            return len(tokens)
        return length - length % BLOCK

    def read(self, block: Block) -> tuple[bytes, Tier] | None:
        """The payload of a block and where it lay; None: it is lost, or it was damaged and is deleted now."""
        node = self._tree.get(block.key)
        if node is None or node.state is None:
            return None
        return node.state, Tier.RAM

    def put(
        self, tokens: array[int], start: int, end: int, state: bytes, owner: Owner, whole: bool = False
    ) -> bool:
        """Keeps the state of tokens [start, end) as one block; what is kept already is only renewed.

        A block begins at a multiple of BLOCK and has at most BLOCK tokens; with fewer it is the tail of its
        chain until a longer one takes its place. A `whole` snapshot begins at 0 and may have any length.
        False: there is no room, or the blocks before it are not (or no longer) kept.

        Raises ValueError for an impossible range.
        """
        _check_range(len(tokens), start, end, whole)
        data = pack(tokens[:end])
        chunk = data[start * TOKEN_BYTES :]
        parent = self._tree.root if whole else self._tree.find(data[: start * TOKEN_BYTES])
        if parent is None:
            return False
        block = make_block(parent.block.key, start, chunk, whole)
        node = self._tree.get(block.key) if whole else self._tree.covering(parent, chunk)
        if node is None:
            room = self._ram.make_room(
                len(state), owner.rank, lambda: self._pinned(owner.session), lambda: set(parent.up())
            )
            if room is None:
                return False
            for gone in room:
                gone.state = None
                self._forget_if_lost(gone)
            node = self._tree.add(block, chunk)
            node.state = state
            self._ram.add(node, len(state))
            if not whole:
                self._supersede(parent, chunk)
        self._renew(node, owner)
        return True

    def use(self, found: Found, owner: Owner) -> None:
        """The chain was used for `owner`: renews it, and pins it as its session's newest."""
        if found.blocks and (node := self._tree.get(found.blocks[-1].key)) is not None:
            self._renew(node, owner)

    def commit(self) -> None:
        """What was put since the last commit may go to disk now, behind the engine's back."""

    def flush(self, timeout: float) -> bool:
        """Waits until all that was committed is on disk. False: it took longer. From any thread."""
        return True

    def close(self, timeout: float) -> None:
        """Flushes what was committed and ends the writer. From any thread; the store is not used after."""

    def status(self) -> StoreStatus:
        ram = self._ram
        return StoreStatus(TierStatus(ram.used, ram.limit, len(ram), ram.evicted, 0, ram.unkept), None)

    def _renew(self, node: Node, owner: Owner) -> None:
        # Times must not run backwards for the order of eviction.
        self._now = max(self._now, self._clock())
        for each in node.up():
            each.used = self._now
            each.rank = max(each.rank, owner.rank)
        if owner.rank is Rank.MAIN:
            self._pins[owner.session] = node

    def _pinned(self, session: str) -> set[Node]:
        """Every node of the main sessions' newest chains that are in use; forgets the other pins."""
        oldest = self._clock() - PIN_SECONDS
        self._pins = {
            session: node
            for session, node in self._pins.items()
            if node.used > oldest and self._tree.get(node.block.key) is node
        }
        return {node for leaf in self._pins.values() for node in leaf.up()}

    def _supersede(self, parent: Node, chunk: bytes) -> None:
        """Tails that the block `chunk` goes on from are not needed beside it."""
        for tail in self._tree.beginnings(parent, chunk):
            self._ram.drop(tail)
            tail.state = None
            self._forget_if_lost(tail)

    def _forget_if_lost(self, node: Node) -> None:
        if node.state is None and not node.places:
            self._tree.remove(node)


def _check_range(length: int, start: int, end: int, whole: bool) -> None:
    if not 0 <= start < end <= length:
        raise ValueError(f"start, end: [{start}, {end}) is no range of {length} tokens")
    if whole and start:
        raise ValueError(f"start: a whole snapshot begins at 0, not at {start}")
    if not whole and (start % BLOCK or end - start > BLOCK):
        raise ValueError(f"start, end: [{start}, {end}) is not a block of {BLOCK} tokens")

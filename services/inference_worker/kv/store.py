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
from services.inference_worker.kv.persistence import Persistence
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
        self._disk = Persistence(disk, fingerprint, self._tree, self._settled) if disk else None
        self._pins: dict[str, Node] = {}

    def longest(self, tokens: array[int], limit: int) -> Found:
        """The longest kept prefix of tokens[:limit], in RAM or on disk. Reads no payload.

        A block of ranges that matches in part counts in part; a whole snapshot only if all of it matches.
        """
        if self._disk is not None:
            self._disk.refresh()
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
        if node is None:
            return None
        if node.state is not None:
            return node.state, Tier.RAM
        state = self._disk.read(node) if self._disk else None
        if state is None:
            return None
        self._load(node, state)
        return state, Tier.DISK

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
            node = self._keep(block, parent, state, owner)
            if node is None:
                return False
        elif self._disk is not None:
            self._disk.renew(node)
        self._renew(node, owner)
        return True

    def use(self, found: Found, owner: Owner) -> None:
        """The chain was used for `owner`: renews it, and pins it as its session's newest."""
        nodes = (self._tree.get(block.key) for block in reversed(found.blocks))
        # What was found may have been lost since.
        node = next((node for node in nodes if node is not None), None)
        if node is not None:
            self._renew(node, owner)
            if self._disk is not None:
                self._disk.touch(node, self._now)

    def commit(self) -> None:
        """What was put since the last commit may go to disk now, behind the engine's back."""
        self._forget_pins()
        if self._disk is not None:
            self._disk.commit(self._tick())

    def flush(self, timeout: float) -> bool:
        """Waits until all that was committed is on disk. False: it took longer. From any thread."""
        return self._disk is None or self._disk.flush(timeout)

    def close(self, timeout: float) -> None:
        """Flushes what was committed and ends the writer. From any thread; the store is not used after."""
        if self._disk is not None:
            self._disk.close(timeout)

    def status(self) -> StoreStatus:
        """From any thread."""
        ram = self._ram
        return StoreStatus(
            TierStatus(ram.used, ram.limit, len(ram), ram.evicted, 0, ram.unkept),
            self._disk.status() if self._disk is not None else None,
        )

    def _keep(self, block: Block, parent: Node, state: bytes, owner: Owner) -> Node | None:
        """The new node of a block that is not kept yet; None: there is no room."""
        size = len(state)
        loaded = self._make_room(size, owner.rank, parent)
        # It may wait to be written without a place in RAM.
        if not loaded and not (self._disk is not None and self._disk.room(size)):
            self._ram.unkept += 1
            return None
        node = self._tree.add(block)
        node.state = state
        if loaded:
            self._ram.add(node, size)
        if self._disk is not None:
            self._disk.stage(node)
        if not block.whole:
            for tail in self._tree.beginnings(parent, node.chunk):
                self._unload(tail)
        return node

    def _load(self, node: Node, state: bytes) -> None:
        """What is used now shall be quicker the next time, if there is room."""
        if self._make_room(len(state), node.rank, node):
            node.state = state
            self._ram.add(node, len(state))

    def _make_room(self, size: int, asker: Rank, chain: Node) -> bool:
        """False: RAM cannot have `size` more bytes without what the chain itself is made of."""
        gone = self._ram.make_room(size, asker, self._pinned, lambda: set(chain.up()))
        for node in gone or ():
            self._unload(node)
        return gone is not None

    def _unload(self, node: Node) -> None:
        """The node leaves RAM. On its way to disk its payload is held until it has arrived."""
        self._ram.drop(node)
        if self._disk is None or not self._disk.queued(node):
            self._settled(node)

    def _settled(self, node: Node) -> None:
        """The node no longer waits for the disk: what is not in RAM is held no longer."""
        if node in self._ram:
            return
        node.state = None
        if not node.places and self._tree.get(node.block.key) is node:
            self._tree.remove(node)

    def _renew(self, node: Node, owner: Owner) -> None:
        self._tree.renew(node, self._tick(), owner.rank)
        if owner.rank is Rank.MAIN:
            self._pins[owner.session] = node

    def _pinned(self) -> set[Node]:
        """Every node of the main sessions' newest chains that are in use."""
        self._forget_pins()
        return {node for leaf in self._pins.values() for node in leaf.up()}

    def _forget_pins(self) -> None:
        oldest = self._tick() - PIN_SECONDS
        self._pins = {
            session: node
            for session, node in self._pins.items()
            if node.used > oldest and self._tree.get(node.block.key) is node
        }

    def _tick(self) -> float:
        # Times must not run backwards for the order of eviction.
        self._now = max(self._now, self._clock())
        return self._now


def _check_range(length: int, start: int, end: int, whole: bool) -> None:
    if not 0 <= start < end <= length:
        raise ValueError(f"start, end: [{start}, {end}) is no range of {length} tokens")
    if whole and start:
        raise ValueError(f"start: a whole snapshot begins at 0, not at {start}")
    if not whole and (start % BLOCK or end - start > BLOCK):
        raise ValueError(f"start, end: [{start}, {end}) is not a block of {BLOCK} tokens")

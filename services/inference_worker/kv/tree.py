"""The index of both tiers: a prefix tree, one node a kept block.

A match compares the tokens themselves; keys only name blocks. Belongs to the engine's thread.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass

from services.inference_worker.kv.blocks import BLOCK_BYTES, TOKEN_BYTES, Block, common_tokens, pack
from services.inference_worker.kv.eviction import Rank
from services.inference_worker.kv.segment import Segment


@dataclass(frozen=True, slots=True)
class Place:
    """Where a block lies on disk: the `index`th of its segment."""

    segment: Segment
    index: int


class Node:
    """A kept block: its payload in memory (`state`), its places on disk, or both.

    `used` and `rank` are never less than those of the nodes below, so that parents outlive their children.
    """

    __slots__ = ("block", "children", "chunk", "order", "parent", "places", "rank", "state", "used")

    def __init__(self, block: Block, chunk: bytes) -> None:
        self.block = block
        self.chunk = chunk
        self.parent: Node | None = None
        self.children: dict[bytes, Node] = {}
        self.order: list[bytes] = []
        """The keys of `children`, sorted: the closest relatives of any tokens are its neighbours there."""
        self.state: bytes | None = None
        self.places: tuple[Place, ...] = ()
        self.used = 0.0
        self.rank = Rank.SIDE

    @property
    def start(self) -> int:
        return self.block.start

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return len(self.state) if self.state is not None else 0

    @property
    def partial(self) -> bool:
        return len(self.chunk) < BLOCK_BYTES

    def up(self) -> Iterator[Node]:
        """The node, its parent and so on, without the root."""
        node = self
        while node.parent is not None:
            yield node
            node = node.parent


class Tree:
    """All nodes by key. Those whose parent is not known wait apart, where no match finds them."""

    def __init__(self, root: bytes) -> None:
        self.root = Node(Block(root, b"", 0, array("i")), b"")
        self._nodes: dict[bytes, Node] = {}
        self._waiting: dict[bytes, list[Node]] = {}
        self._wholes: list[Node] = []
        """Longest first."""

    def __len__(self) -> int:
        return len(self._nodes)

    def get(self, key: bytes) -> Node | None:
        return self._nodes.get(key)

    def match(self, data: bytes) -> tuple[list[Node], int]:
        """The chain with the longest prefix of the packed tokens `data`, and its length in tokens.

        The last node may match in part.
        """
        chain: list[Node] = []
        node, at = self.root, 0
        while (child := node.children.get(data[at : at + BLOCK_BYTES])) is not None:
            chain.append(child)
            node = child
            at += len(child.chunk)
            if child.partial:
                return chain, at // TOKEN_BYTES
        rest = data[at : at + BLOCK_BYTES]
        if rest and node.order:
            best, shared = self._closest(node, rest)
            if shared:
                chain.append(best)
                return chain, at // TOKEN_BYTES + shared
        return chain, at // TOKEN_BYTES

    def match_whole(self, data: bytes) -> Node | None:
        """The longest snapshot all of whose tokens are a prefix of `data`."""
        first = bisect_left(self._wholes, -len(data), key=lambda node: -len(node.chunk))
        return next((node for node in self._wholes[first:] if data.startswith(node.chunk)), None)

    def find(self, data: bytes) -> Node | None:
        """The node where the chain of full blocks `data` ends; the root for no tokens."""
        node: Node | None = self.root
        for at in range(0, len(data), BLOCK_BYTES):
            node = node.children.get(data[at : at + BLOCK_BYTES]) if node else None
        return node

    def covering(self, parent: Node, chunk: bytes) -> Node | None:
        """The child of `parent` that begins with `chunk`."""
        if (exact := parent.children.get(chunk)) is not None:
            return exact
        return next(self.continuations(parent, chunk), None)

    def continuations(self, parent: Node, chunk: bytes) -> Iterator[Node]:
        """The longer children of `parent` that begin with `chunk`."""
        for longer in parent.order[bisect_right(parent.order, chunk) :]:
            if not longer.startswith(chunk):
                break
            yield parent.children[longer]

    def beginnings(self, parent: Node, chunk: bytes) -> list[Node]:
        """The shorter children of `parent` that `chunk` begins with."""
        lengths = range(TOKEN_BYTES, len(chunk), TOKEN_BYTES) if parent.children else ()
        return [parent.children[short] for size in lengths if (short := chunk[:size]) in parent.children]

    def add(self, block: Block, chunk: bytes | None = None) -> Node:
        """A node for a block that has none yet, under its parent or waiting for it."""
        node = Node(block, pack(block.tokens) if chunk is None else chunk)
        self._nodes[block.key] = node
        if block.whole:
            node.parent = self.root
            insort(self._wholes, node, key=lambda each: -len(each.chunk))
            return node
        self._attach(node)
        for child in self._waiting.pop(block.key, ()):
            self._attach(child)
        return node

    def remove(self, node: Node) -> None:
        """Forgets a node; those below wait for it to come back."""
        del self._nodes[node.block.key]
        if node.block.whole:
            self._wholes.remove(node)
            return
        if node.parent is not None:
            del node.parent.children[node.chunk]
            node.parent.order.pop(bisect_left(node.parent.order, node.chunk))
            node.parent = None
        else:
            orphans = self._waiting[node.block.parent]
            orphans.remove(node)
            if not orphans:
                del self._waiting[node.block.parent]
        if node.children:
            for child in node.children.values():
                child.parent = None
            self._waiting[node.block.key] = list(node.children.values())
            node.children, node.order = {}, []

    def renew(self, node: Node, used: float, rank: Rank) -> None:
        """The chain that ends here was used then, for a request of that rank."""
        while node.parent is not None and (node.used < used or node.rank < rank):
            node.used = max(node.used, used)
            if node.rank < rank:
                node.rank = rank
                for place in node.places:
                    place.segment.rank = max(place.segment.rank, rank)
            node = node.parent

    def _attach(self, node: Node) -> None:
        key = node.block.parent
        parent = self.root if key == self.root.block.key else self._nodes.get(key)
        if parent is None or parent.block.whole or parent.block.end != node.start:
            self._waiting.setdefault(key, []).append(node)
            return
        node.parent = parent
        parent.children[node.chunk] = node
        insort(parent.order, node.chunk)
        self.renew(parent, node.used, node.rank)

    @staticmethod
    def _closest(node: Node, rest: bytes) -> tuple[Node, int]:
        """The child that shares most tokens with `rest`, and how many."""
        at = bisect_left(node.order, rest)
        shared, chunk = max((common_tokens(each, rest), each) for each in node.order[max(0, at - 1) : at + 1])
        return node.children[chunk], shared

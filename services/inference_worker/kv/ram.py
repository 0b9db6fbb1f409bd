"""The RAM tier: how many bytes are held in memory, and which blocks leave it for others."""

from __future__ import annotations

from collections.abc import Callable, Container

from services.inference_worker.kv.eviction import Rank, victims
from services.inference_worker.kv.tree import Node

# Part of the tier that is cleared beyond what is needed, so that not every block looks for its own room.
_SLACK = 32


class RamTier:
    """Blocks whose payload counts against `limit` bytes. Belongs to the engine's thread."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.evicted = 0
        self.unkept = 0
        self._nodes: dict[Node, int] = {}

    def __contains__(self, node: Node) -> bool:
        return node in self._nodes

    def __len__(self) -> int:
        return len(self._nodes)

    def make_room(
        self,
        size: int,
        asker: Rank,
        pinned: Callable[[], Container[Node]],
        protected: Callable[[], Container[Node]],
    ) -> list[Node] | None:
        """Takes blocks out until `size` bytes are free, and gives them; None: it cannot be done.

        `pinned` and `protected` are asked only when something must go.
        """
        need = self.used + size - self.limit
        if need <= 0:
            return []
        gone = None
        if size <= self.limit:
            gone = victims(self._nodes, need, asker, pinned(), protected(), self.limit // _SLACK)
        if gone is None:
            return None
        for node in gone:
            self.drop(node)
        self.evicted += len(gone)
        return gone

    def add(self, node: Node, size: int) -> None:
        """The node's payload is in memory; there is room for it."""
        self._nodes[node] = size
        self.used += size

    def drop(self, node: Node) -> None:
        """The node, if it is here, counts no longer."""
        self.used -= self._nodes.pop(node, 0)

"""Keeps the tree and one model's files in step: found, written, lost. Belongs to the engine's thread."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import structlog

from services.inference_worker.kv.disk import DiskTier
from services.inference_worker.kv.folder import ModelFolder
from services.inference_worker.kv.segment import Run, Segment
from services.inference_worker.kv.status import TierStatus
from services.inference_worker.kv.tree import Node, Place, Tree
from services.inference_worker.kv.writer import Job, Writer

# Files are what disk eviction deals in: not so large that a conversation goes at once.
_SEGMENT_BYTES = 64 << 20
_FINGERPRINT = re.compile(r"[0-9a-fA-F]{32,}")

log = structlog.get_logger()


class Persistence:
    """Raises OSError at once if the disk cannot be used; later that is logged, and nothing is kept.

    `settled` is called with every node that was staged, when it is on disk or will not come there.
    """

    def __init__(self, tier: DiskTier, fingerprint: str, tree: Tree, settled: Callable[[Node], None]) -> None:
        if not _FINGERPRINT.fullmatch(fingerprint):
            raise ValueError("fingerprint: at least 32 hexadecimal digits are wanted")
        tier.open()
        self._tier = tier
        self._tree = tree
        self._settled = settled
        self._folder = ModelFolder(tier.root / fingerprint[:32].lower(), tree.root.block.key)
        self._writer = Writer(tier, self._folder)
        self._segment_bytes = min(_SEGMENT_BYTES, tier.limit // 8, tier.queue // 4)
        self._staged: dict[Node, None] = {}
        self._staged_bytes = 0
        self._renewed: dict[Node, None] = {}
        self._queued: set[Node] = set()
        self._commits = 0
        self._unkept = 0
        self.refresh()

    def refresh(self) -> None:
        """Takes in what the writer has finished and what other workers have written or deleted."""
        for done in self._writer.take_done():
            if done.segment is None:
                self._unkept += len(done.nodes)
            elif self._folder.know(done.segment):
                self._found(done.segment)
            for node in done.nodes:
                self._queued.discard(node)
                self._settled(node)
        try:
            found, gone = self._folder.scan()
        except OSError as error:
            log.warning("kv.disk folder cannot be read", folder=str(self._folder.path), detail=str(error))
            return
        for segment in gone:
            self._lost(segment)
        for segment in found:
            self._found(segment)

    def room(self, size: int) -> bool:
        """Whether a payload may wait here to be written that has no room in RAM."""
        return self._staged_bytes + self._writer.queued + size <= self._tier.queue

    def queued(self, node: Node) -> bool:
        """Whether the node's payload is on its way to disk."""
        return node in self._queued

    def stage(self, node: Node) -> None:
        """The node's payload is to be written with the next commit."""
        self._staged[node] = None
        self._staged_bytes += node.size

    def renew(self, node: Node) -> None:
        """The chain that ends here was used; its files learn it with the next commit."""
        self._renewed[node] = None

    def touch(self, node: Node, now: float) -> None:
        """The chain that ends here was used; its files learn it soon."""
        self._writer.touch({place.segment.name: now for each in node.up() for place in each.places})

    def commit(self, now: float) -> None:
        """Hands what is staged to the writer, parents before children, as far as its queue has room."""
        self.refresh()
        nodes = self._unwritten()
        staged, self._staged, self._staged_bytes = self._staged, {}, 0
        files = {place.segment.name for node in _chains([*staged, *self._renewed]) for place in node.places}
        self._renewed = {}
        self._writer.touch(dict.fromkeys(files, now))
        self._commits += 1
        protected = frozenset(str(self._folder.path / name) for name in files)
        runs = self._runs(nodes)
        while runs and self._writer.offer(self._job(runs[0], now, protected)):
            self._queued.update(runs.pop(0))
        self._unkept += sum(map(len, runs))
        for node in staged:
            if node not in self._queued:
                self._settled(node)

    def read(self, node: Node) -> bytes | None:
        """The payload from disk; None: it is lost."""
        for place in node.places:
            state = self._folder.read(place.segment, place.index)
            if state is not None:
                return state
            self._folder.forget(place.segment)
            self._lost(place.segment)
        return None

    def flush(self, timeout: float) -> bool:
        return self._writer.flush(timeout)

    def close(self, timeout: float) -> None:
        self._writer.close(timeout)

    def status(self) -> TierStatus:
        """From any thread, so also of what was written since the engine's thread was last awake."""
        tier, folder = self._tier, self._folder
        known = list(folder.segments.values())
        names = {segment.name for segment in known}
        fresh = [segment for segment in self._writer.untaken() if segment.name not in names]
        blocks = sum(len(segment.blocks) for segment in known + fresh)
        return TierStatus(tier.used, tier.limit, blocks, tier.evicted, folder.refused, self._unkept)

    def _found(self, segment: Segment) -> None:
        for index, block in enumerate(segment.blocks):
            node = self._tree.get(block.key) or self._tree.add(block)
            node.places += (Place(segment, index),)
            segment.rank = max(segment.rank, node.rank)
            self._tree.renew(node, node.used, segment.rank)
            if node.parent is not None and not block.whole:
                self._supersede(node, node.parent)

    def _supersede(self, node: Node, parent: Node) -> None:
        """Of a tail and a longer block that begins with it only the longer one stays on disk."""
        tails = self._tree.beginnings(parent, node.chunk)
        if any(longer.places for longer in self._tree.continuations(parent, node.chunk)):
            tails.append(node)
        for tail in tails:
            for place in tail.places:
                # Tails are written apart; a file that holds more stays as it is.
                if len(place.segment.blocks) == 1:
                    self._folder.delete(place.segment)
                    self._lost(place.segment)

    def _lost(self, segment: Segment) -> None:
        for block in segment.blocks:
            node = self._tree.get(block.key)
            if node is None:
                continue
            node.places = tuple(place for place in node.places if place.segment is not segment)
            if node.state is None and not node.places:
                self._tree.remove(node)

    def _unwritten(self) -> list[Node]:
        """What is staged and still to be written, and what it builds on that is not on disk, by start."""
        return sorted(
            (
                node
                for node in _chains(self._staged)
                if node.state is not None and not node.places and node not in self._queued
            ),
            key=lambda node: node.start,
        )

    def _runs(self, nodes: Iterable[Node]) -> list[list[Node]]:
        """Consecutive blocks of a chain, each run one file; tails and snapshots apart: they may go alone."""
        runs: list[list[Node]] = []
        ending: dict[Node, tuple[list[Node], int]] = {}
        for node in nodes:
            run, size = ending.pop(node.parent, ([], 0)) if node.parent is not None else ([], 0)
            if not run or node.partial or node.block.whole or size + node.size > self._segment_bytes:
                run, size = [], 0
                runs.append(run)
            run.append(node)
            if not node.partial and not node.block.whole:
                ending[node] = (run, size + node.size)
        return runs

    def _job(self, run: list[Node], now: float, protected: frozenset[str]) -> Job:
        states = tuple(node.state or b"" for node in run)
        blocks = tuple(node.block for node in run)
        rank = max(node.rank for node in run)
        return Job(
            self._commits, tuple(run), Run(self._tree.root.block.key, blocks, states), rank, now, protected
        )


def _chains(leaves: Iterable[Node]) -> set[Node]:
    """All nodes of the chains that end at these."""
    seen: set[Node] = set()
    for leaf in leaves:
        for node in leaf.up():
            if node in seen:
                break
            seen.add(node)
    return seen

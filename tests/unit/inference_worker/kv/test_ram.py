"""Bytes of the RAM tier."""

from __future__ import annotations

from services.inference_worker.kv.blocks import make_block, pack, root_key
from services.inference_worker.kv.eviction import Rank
from services.inference_worker.kv.ram import RamTier
from services.inference_worker.kv.tree import Node, Tree
from tests.unit.inference_worker.kv.keeping import talk


class Rig:
    def __init__(self, limit: int) -> None:
        self.tree = Tree(root_key("model"))
        self.ram = RamTier(limit)
        self.now = 0.0

    def node(self, size: int) -> Node:
        self.now += 1
        node = self.tree.add(make_block(self.tree.root.block.key, 0, pack(talk(int(self.now), 64))))
        node.state = bytes(size)
        self.tree.renew(node, self.now, Rank.MAIN)
        self.ram.add(node, size)
        return node

    def room(self, size: int) -> list[Node] | None:
        return self.ram.make_room(size, Rank.MAIN, set, set)


def test_nothing_goes_while_there_is_room() -> None:
    rig = Rig(100)
    rig.node(60)
    assert rig.room(40) == []
    assert rig.ram.used == 60


def test_the_oldest_goes_and_is_counted() -> None:
    rig = Rig(100)
    first, second = rig.node(60), rig.node(40)
    assert rig.room(1) == [first]
    assert first not in rig.ram
    assert second in rig.ram
    assert (rig.ram.used, rig.ram.evicted, len(rig.ram)) == (40, 1, 1)


def test_what_is_larger_than_the_tier_evicts_nothing() -> None:
    rig = Rig(100)
    rig.node(60)
    assert rig.room(101) is None
    assert (rig.ram.used, rig.ram.evicted) == (60, 0)


def test_more_goes_at_once_when_blocks_are_small() -> None:
    rig = Rig(1_000)
    for _ in range(100):
        rig.node(10)
    assert len(rig.room(10) or ()) == 4


def test_a_node_is_dropped_once() -> None:
    rig = Rig(100)
    node = rig.node(60)
    rig.ram.drop(node)
    rig.ram.drop(node)
    assert rig.ram.used == 0

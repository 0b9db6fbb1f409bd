"""The prefix tree, against a model that compares everything with everything."""

from __future__ import annotations

from array import array

from hypothesis import given, settings
from hypothesis import strategies as st

from services.inference_worker.kv.blocks import BLOCK, BLOCK_BYTES, make_block, pack, root_key
from services.inference_worker.kv.eviction import Rank
from services.inference_worker.kv.tree import Node, Tree
from tests.unit.inference_worker.kv.keeping import talk

ROOT = root_key("model")


def chain(tree: Tree, tokens: array[int]) -> list[Node]:
    """All blocks of the tokens, those that are missing added."""
    nodes, parent = [], ROOT
    for start in range(0, len(tokens), BLOCK):
        block = make_block(parent, start, pack(tokens[start : start + BLOCK]))
        nodes.append(tree.get(block.key) or tree.add(block))
        parent = block.key
    return nodes


def test_a_chain_is_found_up_to_the_token() -> None:
    tree = Tree(ROOT)
    tokens = talk(1, 3 * BLOCK + 10)
    nodes = chain(tree, tokens)
    assert tree.match(pack(tokens)) == (nodes, len(tokens))
    assert tree.match(pack(tokens[:100])) == (nodes[:2], 100)
    assert tree.match(pack(tokens[:100] + talk(2, 100))) == (nodes[:2], 100)
    assert tree.match(pack(talk(2, 100))) == ([], 0)
    assert tree.match(b"") == ([], 0)


def test_the_closest_of_many_children_is_taken() -> None:
    tree = Tree(ROOT)
    base = talk(1, BLOCK)
    for shared in range(0, BLOCK, 7):
        chain(tree, base[:shared] + talk(100 + shared, BLOCK - shared))
    assert tree.match(pack(base))[1] == 63


def test_a_node_without_its_parent_is_not_found_until_the_parent_is_back() -> None:
    tree = Tree(ROOT)
    tokens = talk(1, 4 * BLOCK)
    nodes = chain(tree, tokens)
    tree.remove(nodes[1])
    assert tree.match(pack(tokens)) == (nodes[:1], BLOCK)
    assert tree.find(pack(tokens[: 2 * BLOCK])) is None
    back = tree.add(nodes[1].block)
    assert tree.match(pack(tokens)) == ([nodes[0], back, *nodes[2:]], 4 * BLOCK)


def test_removing_what_waits_leaves_nothing_behind() -> None:
    tree = Tree(ROOT)
    nodes = chain(tree, talk(1, 4 * BLOCK))
    for index in (1, 2, 3, 0):
        tree.remove(nodes[index])
    assert len(tree) == 0
    assert tree._waiting == {}
    assert not tree.root.children
    assert not tree.root.order


def test_a_block_that_does_not_begin_where_its_parent_ends_is_not_found() -> None:
    tree = Tree(ROOT)
    first = tree.add(make_block(ROOT, 0, pack(talk(1, BLOCK))))
    tree.add(make_block(first.block.key, 2 * BLOCK, pack(talk(2, BLOCK))))
    tree.add(make_block(ROOT, BLOCK, pack(talk(3, BLOCK))))
    assert tree.match(pack(talk(1, BLOCK) + talk(2, BLOCK)))[1] == BLOCK
    assert tree.match(pack(talk(3, BLOCK)))[1] == 0


def test_tails_and_what_goes_on_from_them() -> None:
    tree = Tree(ROOT)
    tokens = talk(1, BLOCK)
    short, middle, full = (chain(tree, tokens[:size])[0] for size in (5, 20, BLOCK))
    other = chain(tree, tokens[:20] + talk(2, 20))[0]
    assert tree.beginnings(tree.root, full.chunk) == [short, middle]
    assert set(tree.continuations(tree.root, middle.chunk)) == {full, other}
    assert tree.covering(tree.root, pack(tokens[:40])) is full
    assert tree.covering(tree.root, pack(tokens[:20])) is middle
    assert tree.covering(tree.root, pack(tokens[:40] + talk(3, 1))) is None


def test_the_longest_snapshot_that_matches_wholly_wins() -> None:
    tree = Tree(ROOT)
    tokens = talk(1, 300)
    sizes = (50, 128, 300)
    wholes = [tree.add(make_block(ROOT, 0, pack(tokens[:size]), whole=True)) for size in sizes]
    tree.add(make_block(ROOT, 0, pack(tokens[:200] + talk(2, 50)), whole=True))
    assert tree.match_whole(pack(tokens)) is wholes[2]
    assert tree.match_whole(pack(tokens[:299])) is wholes[1]
    assert tree.match_whole(pack(tokens[:49])) is None
    tree.remove(wholes[1])
    assert tree.match_whole(pack(tokens[:299])) is wholes[0]
    assert tree.match(pack(tokens)) == ([], 0)


def test_use_and_rank_reach_all_that_is_above() -> None:
    tree = Tree(ROOT)
    nodes = chain(tree, talk(1, 3 * BLOCK))
    tree.renew(nodes[1], 5.0, Rank.MAIN)
    tree.renew(nodes[2], 7.0, Rank.SIDE)
    assert [node.used for node in nodes] == [7.0, 7.0, 7.0]
    assert [node.rank for node in nodes] == [Rank.MAIN, Rank.MAIN, Rank.SIDE]


# Few tokens and short blocks' worth of them, so that chains branch anywhere.
CHUNK = st.sampled_from([b"\1\0\0\0" * 64, b"\1\0\0\0" * 63 + b"\2\0\0\0", b"\2\0\0\0" * 64])
TAIL = st.lists(st.sampled_from([b"\1\0\0\0", b"\2\0\0\0"]), max_size=70).map(b"".join)
SEQUENCE = st.tuples(st.lists(CHUNK, max_size=4), TAIL).map(lambda parts: b"".join(parts[0]) + parts[1])


@settings(deadline=None, derandomize=True)
@given(st.lists(SEQUENCE, max_size=8), SEQUENCE, st.randoms(use_true_random=False))
def test_the_longest_prefix_is_what_a_naive_search_finds(
    kept: list[bytes], wanted: bytes, random: object
) -> None:
    tree = Tree(ROOT)
    for data in kept:
        parent = ROOT
        for at in range(0, len(data), BLOCK_BYTES):
            block = make_block(parent, at // 4, data[at : at + BLOCK_BYTES])
            if tree.get(block.key) is None:
                tree.add(block)
            parent = block.key
    longest = 0
    for data in kept:
        shared = 0
        while data[shared : shared + 4] == wanted[shared : shared + 4] != b"":
            shared += 4
        longest = max(longest, shared // 4)
    nodes, length = tree.match(wanted)
    assert length == longest
    held = b"".join(node.chunk for node in nodes)
    assert held[: 4 * length] == wanted[: 4 * length]
    assert all(node.parent is before for node, before in zip(nodes, [tree.root, *nodes], strict=False))
    if nodes:
        assert nodes[-1].start < length <= nodes[-1].block.end

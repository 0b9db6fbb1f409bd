"""Keys that stand for whole prefixes, packed tokens."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.inference_worker.kv.blocks import common_tokens, make_block, pack, root_key, unpack

TOKENS = st.lists(st.integers(-(2**31), 2**31 - 1), max_size=64)


def test_packed_tokens_are_int32_little_endian() -> None:
    assert pack(array("i", [1, -2, 258])) == bytes.fromhex("01000000feffffff02010000")


@settings(deadline=None, derandomize=True)
@given(TOKENS)
def test_packing_loses_nothing(values: list[int]) -> None:
    assert unpack(pack(array("i", values))).tolist() == values


def test_other_arrays_are_refused() -> None:
    with pytest.raises(ValueError, match="tokens"):
        pack(array("h", [1]))


def test_a_key_depends_on_model_parent_tokens_and_kind() -> None:
    root = root_key("a")
    first = make_block(root, 0, pack(array("i", [1, 2])))
    others = [
        make_block(root_key("b"), 0, pack(array("i", [1, 2]))),
        make_block(root, 0, pack(array("i", [1, 3]))),
        make_block(root, 0, pack(array("i", [1, 2, 0]))),
        make_block(first.key, 2, pack(array("i", [1, 2]))),
        make_block(root, 0, pack(array("i", [1, 2])), whole=True),
    ]
    assert len({first.key, root, *(other.key for other in others)}) == 7
    assert first == make_block(root, 0, pack(array("i", [1, 2])))
    assert first.parent == root
    assert first.end == 2


@settings(deadline=None, derandomize=True)
@given(TOKENS, TOKENS, TOKENS)
def test_common_tokens_are_counted_exactly(shared: list[int], one: list[int], other: list[int]) -> None:
    left, right = shared + one, shared + other
    count = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        count += 1
    assert common_tokens(pack(array("i", left)), pack(array("i", right))) == count


def test_tokens_that_share_some_of_their_bytes_are_different() -> None:
    assert common_tokens(pack(array("i", [5, 0x0100])), pack(array("i", [5, 0x0200]))) == 1

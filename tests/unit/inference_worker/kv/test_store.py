"""The store without a disk: what is found, kept, superseded, evicted."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.inference_worker.kv.blocks import BLOCK, Block, Found, pack
from services.inference_worker.kv.eviction import PIN_SECONDS, Owner, Rank
from services.inference_worker.kv.status import Tier
from services.inference_worker.kv.store import KvStore
from tests.unit.inference_worker.kv.keeping import FINGERPRINT, Clock, check, keep, payload, talk

SIDE, SUBAGENT = Owner("s", Rank.SIDE), Owner("s", Rank.SUBAGENT)


def ram_store(ram: int = 1 << 20, clock: Clock | None = None) -> KvStore:
    return KvStore(FINGERPRINT, ram, None, clock or Clock())


def put(store: KvStore, tokens: array[int], start: int, owner: Owner | None = None) -> bool:
    end = min(len(tokens), start + BLOCK)
    return store.put(tokens, start, end, payload(tokens, start, end), owner or Owner())


def test_a_conversation_is_found_exact_to_the_token() -> None:
    store = ram_store()
    tokens = talk(1, 300)
    assert store.longest(tokens, 300) == Found((), 0)
    assert keep(store, tokens)
    found = check(store, tokens)
    assert found.length == 300
    assert [(block.start, block.end) for block in found.blocks] == [
        (0, 64),
        (64, 128),
        (128, 192),
        (192, 256),
        (256, 300),
    ]
    assert check(store, tokens, 299).length == 299
    assert check(store, tokens, 64) == Found(found.blocks[:1], 64)
    assert check(store, tokens, 65) == Found(found.blocks[:2], 65)
    assert check(store, tokens[:200] + talk(2, 100)).length == 200
    assert check(store, tokens, 0).length == 0
    assert check(store, tokens, -5).length == 0
    assert check(store, array("i")).length == 0


def test_payloads_come_from_ram() -> None:
    store = ram_store()
    tokens = talk(1, 64)
    keep(store, tokens)
    (block,) = store.longest(tokens, 64).blocks
    assert store.read(block) == (payload(tokens, 0, 64), Tier.RAM)
    stranger = Block(b"?" * 32, block.parent, 0, tokens)
    assert store.read(stranger) is None


def test_saving_begins_where_it_is_not_kept() -> None:
    store = ram_store()
    tokens = talk(1, 150)
    assert store.held(tokens) == 0
    keep(store, tokens)
    assert store.held(tokens) == 150
    assert store.held(tokens[:140]) == 140
    assert store.held(tokens[:128]) == 128
    assert store.held(tokens + talk(2, 1)) == 128
    assert store.held(tokens[:100] + talk(2, 60)) == 64


def test_a_longer_block_takes_the_place_of_the_tail() -> None:
    store = ram_store()
    tokens = talk(1, 64 + 20)
    keep(store, tokens)
    longer = talk(2, 30, tokens)
    keep(store, longer)
    status = store.status().ram
    assert (status.blocks, status.bytes_used) == (2, 200)
    assert check(store, longer).length == 114
    assert check(store, tokens).length == 84
    assert put(store, tokens, 64)
    assert store.status().ram.blocks == 2


def test_different_answers_to_one_prompt_are_kept_side_by_side() -> None:
    store = ram_store()
    prompt = talk(1, 100)
    answers = [talk(seed, 40, prompt) for seed in (2, 3, 4)]
    for answer in answers:
        keep(store, answer)
    for answer in answers:
        assert check(store, answer).length == 140


def test_what_is_kept_already_is_only_renewed() -> None:
    clock = Clock()
    store = ram_store(ram=300, clock=clock)
    first, second, third = (talk(seed, 64) for seed in (1, 2, 3))
    for tokens in (first, second, third):
        clock.now += 1
        keep(store, tokens, SUBAGENT)
    clock.now += 1
    assert put(store, first, 0, SIDE)
    assert store.status().ram.bytes_used == 300
    keep(store, talk(4, 64), SUBAGENT)
    assert check(store, first).length == 64
    assert check(store, second).length == 0


def test_the_higher_rank_wins() -> None:
    store = ram_store(ram=200)
    first, second = talk(1, 64), talk(2, 64)
    keep(store, first, SIDE)
    keep(store, second, SUBAGENT)
    assert put(store, first, 0, Owner("m"))
    assert put(store, first, 0, SIDE)
    keep(store, talk(3, 64), SIDE)
    assert check(store, first).length == 64
    assert check(store, second).length == 0


def test_nothing_is_kept_behind_what_is_not() -> None:
    store = ram_store()
    tokens = talk(1, 192)
    assert not put(store, tokens, 64)
    assert put(store, tokens, 0)
    assert not put(store, tokens, 128)
    assert not put(store, talk(2, 64) + tokens[64:], 64)
    assert store.status().ram.blocks == 1


@pytest.mark.parametrize(
    ("start", "end", "whole"),
    [(0, 0, False), (-64, 0, False), (0, 65, False), (1, 64, False), (64, 301, False), (64, 200, True)],
)
def test_impossible_ranges_are_named(start: int, end: int, whole: bool) -> None:
    with pytest.raises(ValueError, match="start"):
        ram_store().put(talk(1, 300), start, end, b"state", Owner(), whole)


def test_a_negative_size_is_named() -> None:
    with pytest.raises(ValueError, match="ram_bytes"):
        ram_store(-1)


def test_snapshots_match_only_wholly_and_the_longest_wins() -> None:
    store = ram_store()
    tokens = talk(1, 500)
    for end in (100, 300):
        assert store.put(tokens, 0, end, payload(tokens, 0, end), Owner(), whole=True)
    assert check(store, tokens).length == 300
    assert check(store, tokens, 299).length == 100
    assert check(store, tokens, 99).length == 0
    assert check(store, tokens[:299] + talk(2, 5)).length == 100
    assert store.held(tokens) == 0
    assert store.held(tokens[:300]) == 300
    (block,) = store.longest(tokens, 500).blocks
    assert block.whole
    assert store.put(tokens, 0, 300, b"not used", Owner(), whole=True)
    assert check(store, tokens).length == 300


def test_a_store_without_room_keeps_nothing() -> None:
    store = ram_store(0)
    assert not keep(store, talk(1, 64))
    assert store.status().ram.unkept == 1
    assert store.status().disk is None
    assert store.flush(0)
    store.close(0)


def test_a_block_larger_than_the_tier_is_refused_and_evicts_nothing() -> None:
    store = ram_store(150)
    keep(store, talk(1, 64))
    other = talk(2, 64)
    assert not store.put(other, 0, 64, bytes(151), Owner())
    assert check(store, talk(1, 64)).length == 64


def test_leaves_go_before_their_parents() -> None:
    store = ram_store(ram=400)
    tokens = talk(1, 256)
    keep(store, tokens, SIDE)
    keep(store, talk(2, 128), SIDE)
    assert check(store, tokens).length == 128


def test_side_requests_do_not_evict_the_conversation() -> None:
    clock = Clock()
    store = ram_store(ram=1_000, clock=clock)
    tokens = talk(1, 8 * BLOCK)
    keep(store, tokens, Owner("main"))
    for seed in range(2, 30):
        clock.now += 60
        keep(store, talk(seed, 2 * BLOCK), SIDE)
        keep(store, talk(100 + seed, BLOCK), SUBAGENT)
        assert check(store, tokens).length == len(tokens)
    assert not keep(store, talk(99, 3 * BLOCK), SUBAGENT)
    assert store.status().ram.bytes_used <= 1_000


def test_only_the_newest_chain_of_a_session_is_pinned() -> None:
    store = ram_store(ram=600)
    trunk = talk(1, 2 * BLOCK)
    older, newer = talk(2, 2 * BLOCK, trunk), talk(3, 2 * BLOCK, trunk)
    keep(store, older, Owner("main"))
    keep(store, newer, Owner("main"))
    keep(store, talk(4, 2 * BLOCK), SUBAGENT)
    assert check(store, newer).length == len(newer)
    assert check(store, older).length == len(trunk)
    assert not keep(store, talk(5, 3 * BLOCK), SUBAGENT)


def test_use_moves_the_pin() -> None:
    store = ram_store(ram=400)
    older, newer = talk(1, 2 * BLOCK), talk(2, 2 * BLOCK)
    keep(store, older, Owner("main"))
    keep(store, newer, Owner("main"))
    store.use(store.longest(older, len(older)), Owner("main"))
    keep(store, talk(3, 2 * BLOCK), SUBAGENT)
    assert check(store, older).length == len(older)
    assert check(store, newer).length == 0
    store.use(Found(), Owner("main"))


def test_a_pin_ends() -> None:
    clock = Clock()
    store = ram_store(ram=200, clock=clock)
    tokens = talk(1, 2 * BLOCK)
    keep(store, tokens, Owner("main"))
    clock.now += PIN_SECONDS - 1
    assert not keep(store, talk(2, BLOCK), SUBAGENT)
    clock.now += 1
    assert keep(store, talk(2, BLOCK), SUBAGENT)
    assert check(store, tokens).length == BLOCK


def test_pins_are_forgotten_when_nobody_uses_them() -> None:
    clock = Clock()
    store = ram_store(clock=clock)
    for seed in range(10):
        keep(store, talk(seed, BLOCK), Owner(f"session {seed}"))
        clock.now += PIN_SECONDS / 2
    assert len(store._pins) == 2


def test_another_main_conversation_may_have_the_room() -> None:
    clock = Clock()
    store = ram_store(ram=300, clock=clock)
    for seed in (1, 2, 3, 4):
        clock.now += 1
        assert keep(store, talk(seed, BLOCK), Owner(f"session {seed}"))
    assert [check(store, talk(seed, BLOCK)).length for seed in (1, 2, 3, 4)] == [0, 64, 64, 64]


def test_a_chain_does_not_push_out_its_own_beginning() -> None:
    store = ram_store(ram=300)
    tokens = talk(1, 6 * BLOCK)
    assert not keep(store, tokens)
    assert check(store, tokens).length == 3 * BLOCK


def test_a_clock_that_runs_backwards_does_no_harm() -> None:
    clock = Clock()
    store = ram_store(ram=200, clock=clock)
    keep(store, talk(1, BLOCK), SIDE)
    clock.now -= 10_000
    keep(store, talk(2, BLOCK), SIDE)
    keep(store, talk(3, BLOCK), SIDE)
    assert check(store, talk(1, BLOCK)).length == 0
    assert check(store, talk(2, BLOCK)).length == BLOCK


def test_planted_secrets_never_cross() -> None:
    store = ram_store(ram=1 << 22)
    system = talk(1, 130)
    conversations = [talk(100 + seed, 90, system + array("i", [seed])) for seed in range(200)]
    for index, tokens in enumerate(conversations):
        keep(store, tokens, Owner(f"session {index}"))
    for index, tokens in enumerate(conversations):
        assert check(store, tokens).length == len(tokens)
        # The same system prompt, but another conversation: no token of theirs is found.
        found = check(store, system + array("i", [1_000 + index]) + tokens[131:])
        assert found.length == len(system)


TOKENS = st.lists(st.integers(0, 1), max_size=4).map(
    lambda parts: array("i", [token for part in parts for token in [part] * 50])
)


@settings(deadline=None, derandomize=True)
@given(st.lists(TOKENS, max_size=6), TOKENS, st.integers(0, 250))
def test_the_longest_is_what_a_naive_search_finds(
    kept: list[array[int]], wanted: array[int], limit: int
) -> None:
    store = ram_store()
    for tokens in kept:
        assert keep(store, tokens)
        assert store.held(tokens) == len(tokens)
    longest = 0
    for tokens in kept:
        shared = 0
        while shared < min(len(tokens), len(wanted), limit) and tokens[shared] == wanted[shared]:
            shared += 1
        longest = max(longest, shared)
    assert check(store, wanted, limit).length == longest


OPERATION = st.tuples(
    st.integers(0, 3), st.integers(0, 5), st.integers(1, 400), st.sampled_from(Rank), st.integers(30, 400)
)


@settings(deadline=None, derandomize=True)
@given(st.lists(OPERATION, max_size=25))
def test_the_books_are_right_under_any_pressure(operations: list[tuple[int, int, int, Rank, int]]) -> None:
    store = ram_store(ram=1_500)
    for trunk, branch, length, rank, size in operations:
        tokens = (talk(trunk, 100) + talk(50 + branch, 300))[:length]
        held = store.held(tokens)
        end = min(held + BLOCK, length)
        if held < length:
            kept = store.put(
                tokens, held, end, pack(tokens[:end])[:size].ljust(size), Owner(str(trunk), rank)
            )
            assert not kept or store.longest(tokens, length).length == end
        ram = store._ram
        nodes = store._tree._nodes.values()
        assert ram.used == sum(node.size for node in nodes) == sum(ram._nodes.values()) <= 1_500
        assert set(ram._nodes) == set(nodes)
        # Leaves first: nothing is kept whose parent is gone.
        assert all(node.parent is not None for node in nodes)

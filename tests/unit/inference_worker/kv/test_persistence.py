"""The store with a disk: written behind, found again, lost, refused, superseded."""

from __future__ import annotations

import os
import threading
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.inference_worker.kv import folder as folder_module
from services.inference_worker.kv.blocks import BLOCK, make_block, pack, root_key
from services.inference_worker.kv.disk import DiskTier
from services.inference_worker.kv.eviction import Owner, Rank
from services.inference_worker.kv.folder import ModelFolder
from services.inference_worker.kv.segment import Run, Segment
from services.inference_worker.kv.status import Tier, TierStatus
from services.inference_worker.kv.store import KvStore
from tests.unit.inference_worker.kv.keeping import (
    FINGERPRINT,
    OTHER_FINGERPRINT,
    Clock,
    check,
    keep,
    payload,
    talk,
)

WAIT = 20.0
RAM = 1 << 20
SIDE, SUBAGENT = Owner("s", Rank.SIDE), Owner("s", Rank.SUBAGENT)

Opener = Callable[..., KvStore]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opener]:
    """Opens stores over one folder, and closes them."""
    stores: list[KvStore] = []

    def open_store(
        ram: int = RAM,
        limit: int = 1 << 24,
        queue: int = 1 << 24,
        fingerprint: str = FINGERPRINT,
        clock: Clock | None = None,
    ) -> KvStore:
        stores.append(KvStore(fingerprint, ram, DiskTier(tmp_path / "kv", limit, queue), clock or Clock()))
        return stores[-1]

    yield open_store
    for store in stores:
        store.close(WAIT)


def files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "kv").glob("*/*.kv"))


def tiers(store: KvStore, tokens: array[int]) -> list[Tier]:
    reads = [store.read(block) for block in store.longest(tokens, len(tokens)).blocks]
    return [read[1] for read in reads if read is not None]


def disk(store: KvStore) -> TierStatus:
    status = store.status().disk
    assert status is not None
    return status


def save(store: KvStore, tokens: array[int], owner: Owner | None = None, size: int = 100) -> None:
    """Keeps, and waits until it is on disk and the store knows."""
    keep(store, tokens, owner, size)
    assert store.flush(WAIT)
    store.longest(tokens, 0)


def test_the_status_tells_what_was_written_while_the_engine_slept(opened: Opener) -> None:
    tokens = talk(1, 300)
    store = opened()
    keep(store, tokens)
    assert store.flush(WAIT)
    assert disk(store).blocks == 5
    # Once the store has taken note of it, it does not count twice.
    store.longest(tokens, 0)
    assert disk(store).blocks == 5


def test_a_restart_gives_everything_back(opened: Opener, tmp_path: Path) -> None:
    tokens = talk(1, 300)
    store = opened()
    save(store, tokens)
    assert tiers(store, tokens) == [Tier.RAM] * 5
    store.close(WAIT)
    again = opened()
    assert again.held(tokens) == 300
    assert check(again, tokens[:250] + talk(2, 50)).length == 250
    assert again.status().ram.blocks == 4
    # What was read once is in RAM the next time.
    assert tiers(again, tokens) == [Tier.RAM] * 4 + [Tier.DISK]
    assert tiers(again, tokens) == [Tier.RAM] * 5
    folder = tmp_path / "kv" / FINGERPRINT[:32]
    assert {path.parent for path in files(tmp_path)} == {folder}
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "kv", folder)] == [0o700, 0o700]


def test_nothing_is_written_before_it_is_committed(opened: Opener, tmp_path: Path) -> None:
    store = opened()
    keep(store, talk(1, 300), commit=False)
    assert store.flush(WAIT)
    assert files(tmp_path) == []


def test_closing_writes_what_was_committed(opened: Opener, tmp_path: Path) -> None:
    store = opened()
    keep(store, talk(1, 300))
    store.close(WAIT)
    assert check(opened(), talk(1, 300)).length == 300


def test_consecutive_blocks_share_a_file_and_tails_are_apart(opened: Opener, tmp_path: Path) -> None:
    store = opened()
    tokens = talk(1, 300)
    save(store, tokens)
    assert len(files(tmp_path)) == 2
    save(store, talk(2, 200, tokens[:256]))
    assert len(files(tmp_path)) == 4


def test_large_runs_are_split(opened: Opener, tmp_path: Path) -> None:
    store = opened(limit=80_000)
    save(store, talk(1, 8 * BLOCK), size=4_000)
    assert len(files(tmp_path)) == 4
    assert max(path.stat().st_size for path in files(tmp_path)) < 10_000


def test_a_longer_block_supersedes_the_tail_on_disk(opened: Opener, tmp_path: Path) -> None:
    store = opened()
    tokens = talk(1, 84)
    save(store, tokens)
    tail = files(tmp_path)
    longer = talk(2, 30, tokens)
    save(store, longer)
    assert len(files(tmp_path)) == 2
    assert len(set(tail) & set(files(tmp_path))) == 1
    assert disk(store).blocks == 2
    store.close(WAIT)
    again = opened()
    assert check(again, longer).length == 114
    assert check(again, tokens).length == 84


def test_tails_are_superseded_in_any_order_of_files(opened: Opener, tmp_path: Path) -> None:
    """As when two workers have written them, or one has died between writing and deleting."""
    tokens = talk(1, 50)
    root = root_key(FINGERPRINT)
    for _ in range(5):
        folder = ModelFolder(tmp_path / "kv" / FINGERPRINT[:32], root)
        for length in (50, 20, 40, 30):
            block = make_block(root, 0, pack(tokens[:length]))
            folder.write(Run(root, (block,), (payload(tokens, 0, length),)), Rank.MAIN, 1.0)
        assert check(opened(), tokens).length == 50
        (path,) = files(tmp_path)
        path.unlink()


def test_snapshots_come_back(opened: Opener) -> None:
    tokens = talk(1, 500)
    store = opened()
    for end in (100, 300):
        store.put(tokens, 0, end, payload(tokens, 0, end), Owner(), whole=True)
    store.commit()
    store.close(WAIT)
    again = opened()
    assert check(again, tokens).length == 300
    assert check(again, tokens, 299).length == 100
    assert again.held(tokens[:300]) == 300


def test_what_ram_evicts_stays_on_disk(opened: Opener) -> None:
    store = opened(ram=300)
    first, second = talk(1, 3 * BLOCK), talk(2, 3 * BLOCK)
    save(store, first, Owner("a"))
    save(store, second, Owner("b"))
    assert store.status().ram.bytes_used == 300
    assert check(store, first).length == len(first)
    assert check(store, second).length == len(second)
    assert store.status().ram.evicted >= 3


def test_a_disk_alone_will_do(opened: Opener) -> None:
    store = opened(ram=0)
    tokens = talk(1, 300)
    assert keep(store, tokens)
    assert check(store, tokens).length == 300
    assert store.flush(WAIT)
    assert store.status().ram.bytes_used == 0
    assert tiers(store, tokens) == [Tier.DISK] * 5
    assert all(node.state is None for node in store._tree._nodes.values())


def test_a_chain_longer_than_ram_goes_to_disk(opened: Opener) -> None:
    store = opened(ram=300)
    tokens = talk(1, 10 * BLOCK)
    save(store, tokens)
    assert check(store, tokens).length == len(tokens)
    assert store.status().ram.bytes_used <= 300


def slow_disk(store: KvStore) -> threading.Event:
    """The store's writer waits until the event is set."""
    assert store._disk is not None
    gate = threading.Event()
    folder = store._disk._folder
    really = folder.write

    def write(run: Run, rank: Rank, used: float) -> Segment:
        assert gate.wait(WAIT)
        return really(run, rank, used)

    folder.write = write  # type: ignore[method-assign]
    return gate


def test_what_is_on_its_way_to_disk_can_be_read(opened: Opener) -> None:
    store = opened(ram=300)
    gate = slow_disk(store)
    first, second = talk(1, 3 * BLOCK), talk(2, 3 * BLOCK)
    keep(store, first)
    keep(store, second)
    assert store.status().ram.evicted == 3
    assert check(store, first).length == len(first)
    gate.set()
    assert store.flush(WAIT)
    assert check(store, first).length == len(first)


def test_what_the_queue_has_no_room_for_stays_in_ram_until_the_next_commit(
    opened: Opener, tmp_path: Path
) -> None:
    store = opened(queue=2_000)
    gate = slow_disk(store)
    tokens = talk(1, 30 * BLOCK)
    keep(store, tokens)
    assert disk(store).unkept == 10
    assert check(store, tokens).length == len(tokens)
    gate.set()
    assert store.flush(WAIT)
    longer = talk(2, BLOCK, tokens)
    save(store, longer)
    store.close(WAIT)
    assert check(opened(), longer).length == len(longer)


def test_neither_ram_nor_queue(opened: Opener) -> None:
    store = opened(ram=0, queue=1_000)
    slow_disk(store).set()
    tokens = talk(1, 30 * BLOCK)
    assert not keep(store, tokens)
    assert check(store, tokens).length == 10 * BLOCK


def test_a_full_disk_is_told_and_survived(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(ram=200)

    def full(file: int, times: object) -> None:
        raise OSError(28, "No space left on device")

    tokens = talk(1, 4 * BLOCK)
    with monkeypatch.context() as patch:
        patch.setattr(folder_module.os, "utime", full)
        keep(store, tokens)
        assert store.flush(WAIT)
    assert check(store, tokens).length == 2 * BLOCK
    assert disk(store).unkept == 4
    assert disk(store).blocks == 0
    save(store, tokens)
    assert check(store, tokens).length == 4 * BLOCK
    assert disk(store).blocks == 4


def test_a_cleared_cache_is_survived(opened: Opener, tmp_path: Path) -> None:
    store = opened()
    tokens = talk(1, 3 * BLOCK)
    save(store, tokens)
    for path in files(tmp_path):
        path.unlink()
    for folder in (tmp_path / "kv").iterdir():
        folder.rmdir()
    (tmp_path / "kv").rmdir()
    assert check(store, tokens).length == len(tokens)
    longer = talk(2, BLOCK, tokens)
    save(store, longer)
    store.close(WAIT)
    assert check(opened(), longer).length == len(longer)


def test_the_disk_forgets_the_least_recently_used_of_all_models(opened: Opener, tmp_path: Path) -> None:
    clock = Clock()
    limit = 9_000
    other = opened(fingerprint=OTHER_FINGERPRINT, limit=limit, clock=clock)
    save(other, talk(1, BLOCK), SUBAGENT, 1_000)
    other.close(WAIT)
    store = opened(limit=limit, clock=clock)
    for seed in range(2, 7):
        clock.now += 10
        save(store, talk(seed, BLOCK), SUBAGENT, 1_000)
        if seed == 4:
            clock.now += 1
            store.use(store.longest(talk(2, BLOCK), BLOCK), SUBAGENT)
    other = opened(fingerprint=OTHER_FINGERPRINT, limit=limit)
    assert check(other, talk(1, BLOCK), size=1_000).length == BLOCK
    for seed in range(7, 10):
        clock.now += 10
        save(store, talk(seed, BLOCK), SUBAGENT, 1_000)
    assert sum(path.stat().st_size for path in files(tmp_path)) <= limit
    store.close(WAIT)
    other = opened(fingerprint=OTHER_FINGERPRINT, limit=limit)
    assert check(other, talk(1, BLOCK)).length == 0
    again = opened(limit=limit)
    kept = [seed for seed in range(2, 10) if check(again, talk(seed, BLOCK), size=1_000).length]
    assert kept == [2, 5, 6, 7, 8, 9]


def test_side_requests_do_not_evict_the_conversation_from_disk(opened: Opener) -> None:
    store = opened(ram=0, limit=20_000)
    tokens = talk(1, 8 * BLOCK)
    save(store, tokens, Owner("main"), 1_000)
    for seed in range(2, 20):
        save(store, talk(seed, 2 * BLOCK), SIDE, 1_000)
    assert check(store, tokens, size=1_000).length == len(tokens)
    assert disk(store).evicted > 10
    assert disk(store).bytes_used <= 20_000


def test_a_longer_chain_does_not_push_out_its_own_beginning(opened: Opener) -> None:
    store = opened(ram=0, limit=12_000)
    tokens = talk(1, 8 * BLOCK)
    save(store, tokens, size=1_000)
    longer = talk(2, BLOCK, tokens)
    save(store, longer, size=1_000)
    assert check(store, longer, size=1_000).length == len(tokens)
    assert (disk(store).evicted, disk(store).unkept) == (0, 1)


def test_a_side_requests_file_that_a_conversation_builds_on_is_ranked_with_it(opened: Opener) -> None:
    store = opened(ram=0, limit=20_000)
    trunk = talk(1, 2 * BLOCK)
    save(store, trunk, SIDE, 1_000)
    tokens = talk(2, 2 * BLOCK, trunk)
    save(store, tokens, Owner("main"), 1_000)
    store.close(WAIT)
    again = opened(ram=0, limit=20_000)
    for seed in range(3, 20):
        save(again, talk(seed, 2 * BLOCK), SIDE, 1_000)
    assert check(again, tokens, size=1_000).length == len(tokens)


def test_other_models_see_nothing(opened: Opener) -> None:
    tokens = talk(1, 300)
    save(opened(), tokens)
    assert check(opened(fingerprint=OTHER_FINGERPRINT), tokens).length == 0


def test_a_fingerprint_must_be_one(tmp_path: Path) -> None:
    for bad in ("../../etc", "abc", "g" * 64, ""):
        with pytest.raises(ValueError, match="fingerprint"):
            KvStore(bad, 0, DiskTier(tmp_path, 1_000))


def test_a_folder_that_cannot_be_used_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        KvStore(FINGERPRINT, 0, DiskTier(tmp_path / "file" / "kv", 1_000))


def test_damage_is_refused_deleted_and_counted(opened: Opener, tmp_path: Path) -> None:
    tokens = talk(1, 4 * BLOCK)
    save(opened(), tokens)
    (path,) = files(tmp_path)
    data = bytearray(path.read_bytes())
    data[-150] ^= 1
    path.write_bytes(data)
    store = opened()
    assert check(store, tokens).length == 2 * BLOCK
    assert disk(store).refused == 1
    assert files(tmp_path) == []
    # What is left is in RAM, and written with the next commit that builds on it.
    assert store.longest(tokens, len(tokens)).length == 2 * BLOCK
    save(store, tokens)
    store.close(WAIT)
    assert check(opened(), tokens).length == len(tokens)


def test_no_damage_anywhere_yields_a_wrong_byte(opened: Opener, tmp_path: Path) -> None:
    tokens = talk(1, BLOCK + 3)
    store = opened()
    keep(store, tokens, size=40)
    store.close(WAIT)
    originals = {path: path.read_bytes() for path in files(tmp_path)}
    assert len(originals) == 2
    for path, data in originals.items():
        cuts = [data[:size] for size in range(0, len(data), 7)]
        flips = [data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :] for at in range(0, len(data), 3)]
        for bad in [*cuts, *flips, data + b"x"]:
            for other, content in originals.items():
                other.write_bytes(bad if other == path else content)
            store = opened()
            assert check(store, tokens, size=40).length in (0, BLOCK)
            assert disk(store).refused == 1
            assert path not in files(tmp_path)
            store.close(WAIT)


def test_the_second_copy_of_a_block_is_used_when_the_first_is_damaged(opened: Opener, tmp_path: Path) -> None:
    tokens = talk(1, 2 * BLOCK)
    one, two = opened(), opened()
    for store in (one, two):
        keep(store, tokens, commit=False)
    for store in (one, two):
        # Both commit before either looks at the folder again.
        store._disk.refresh = lambda: None  # type: ignore[method-assign, union-attr]
        store.commit()
        store.close(WAIT)
    assert len(files(tmp_path)) == 2
    store = opened(ram=0)
    damaged = files(tmp_path)[0]
    os.truncate(damaged, damaged.stat().st_size - 1)
    assert check(store, tokens).length == len(tokens)
    os.utime(damaged.parent)
    assert tiers(store, tokens) == [Tier.DISK] * 2


def test_uses_renew_the_whole_chains_files(opened: Opener, tmp_path: Path) -> None:
    clock = Clock()
    store = opened(clock=clock)
    first = talk(1, 2 * BLOCK)
    save(store, first)
    clock.now += 100
    longer = talk(2, 2 * BLOCK, first)
    save(store, longer)
    assert {path.stat().st_mtime for path in files(tmp_path)} == {clock.now}
    clock.now += 100
    store.use(store.longest(longer, len(longer)), Owner())
    assert store.flush(WAIT)
    assert {path.stat().st_mtime for path in files(tmp_path)} == {clock.now}
    clock.now += 100
    store.put(first, BLOCK, 2 * BLOCK, b"not used", Owner())
    store.commit()
    assert store.flush(WAIT)
    assert sorted(path.stat().st_mtime for path in files(tmp_path)) == [clock.now - 100, clock.now]


ACTION = st.tuples(
    st.sampled_from(["keep", "keep", "keep", "use", "reopen", "clear", "damage"]),
    st.integers(0, 2),
    st.integers(0, 3),
    st.integers(1, 300),
    st.sampled_from(Rank),
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(ACTION, min_size=3, max_size=15))
def test_whatever_happens_only_right_bytes_come_back(
    tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[str, int, int, int, Rank]]
) -> None:
    path, clock, limit = tmp_path_factory.mktemp("kv"), Clock(), 12_000

    def reopen() -> KvStore:
        return KvStore(FINGERPRINT, 900, DiskTier(path, limit, 10_000), clock)

    store = reopen()
    for action, trunk, branch, length, rank in actions:
        clock.now += 1
        tokens = (talk(trunk, 100) + talk(50 + branch, 200))[:length]
        kept = sorted(path.glob("*/*.kv"))
        if action == "keep":
            keep(store, tokens, Owner(str(trunk), rank), size=300)
        elif action == "use":
            store.use(store.longest(tokens, length), Owner(str(trunk), rank))
        elif action == "reopen":
            store.close(WAIT)
            store = reopen()
        elif action == "clear":
            for each in kept[::2]:
                each.unlink()
        elif kept:
            os.truncate(kept[length % len(kept)], length)
        assert store.flush(WAIT)
        found = check(store, tokens, size=300)
        if action == "use":
            assert found.length <= length
        assert store.status().ram.bytes_used <= 900
        assert sum(each.stat().st_size for each in path.glob("*/*")) <= limit
    store.longest(array("i"), 0)
    nodes = store._tree._nodes.values()
    assert store._ram.used == sum(node.size for node in nodes)
    assert all(node.state is not None or node.places for node in nodes)
    store.close(WAIT)

"""The order in which kept state goes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from services.inference_worker.kv.eviction import Rank, victims


@dataclass(frozen=True)
class Kept:
    name: str
    rank: Rank = Rank.MAIN
    used: float = 0.0
    start: int = 0
    size: int = 10


def order(entries: Iterable[Kept], need: int, **options: object) -> list[str] | None:
    gone = victims(entries, need, **({"asker": Rank.MAIN} | options))  # type: ignore[arg-type]
    return None if gone is None else [entry.name for entry in gone]


def test_side_requests_go_first_then_subagents_then_main() -> None:
    entries = [Kept("main"), Kept("sub", Rank.SUBAGENT, 5), Kept("side", Rank.SIDE, 9)]
    assert order(entries, 30) == ["side", "sub", "main"]


def test_the_least_recently_used_goes_first_and_no_more_than_needed() -> None:
    entries = [Kept("new", used=3), Kept("old", used=1), Kept("middle", used=2)]
    assert order(entries, 20) == ["old", "middle"]
    assert order(entries, 11) == ["old", "middle"]
    assert order(entries, 10) == ["old"]


def test_leaves_go_before_their_parents() -> None:
    entries = [Kept("first", start=0), Kept("second", start=64), Kept("third", start=128)]
    assert order(entries, 20) == ["third", "second"]


def test_the_pinned_go_last_and_only_for_a_main_conversation() -> None:
    pinned, old, side = Kept("pinned", used=1), Kept("old", used=2), Kept("side", Rank.SIDE, 9)
    entries = [pinned, old, side]
    assert order(entries, 30, pinned={pinned}) == ["side", "old", "pinned"]
    for asker in (Rank.SIDE, Rank.SUBAGENT):
        assert order(entries, 20, pinned={pinned}, asker=asker) == ["side", "old"]
        assert order(entries, 21, pinned={pinned}, asker=asker) is None


def test_the_protected_stay() -> None:
    own, other = Kept("own"), Kept("other", used=5)
    assert order([own, other], 10, protected={own}) == ["other"]
    assert order([own, other], 11, protected={own}) is None


def test_what_cannot_come_free_is_not_tried() -> None:
    assert order([Kept("a"), Kept("b")], 21) is None
    assert order([], 1) is None
    assert order([], 0) == []


def test_slack_takes_what_is_due_but_nothing_pinned() -> None:
    entries = [Kept(str(age), used=age) for age in range(6)]
    assert order(entries, 10, slack=25) == ["0", "1", "2"]
    assert order(entries, 10, slack=25, pinned=set(entries[1:])) == ["0"]
    assert order(entries, 10, slack=9) == ["0"]


KEPT = st.builds(
    Kept,
    st.uuids().map(str),
    st.sampled_from(Rank),
    st.integers(0, 5).map(float),
    st.integers(0, 3).map(lambda index: 64 * index),
    st.integers(1, 20),
)


@settings(deadline=None, derandomize=True)
@given(st.lists(KEPT, max_size=12), st.integers(1, 100), st.sampled_from(Rank), st.sets(st.integers(0, 11)))
def test_enough_comes_free_from_the_front_of_the_order(
    entries: list[Kept], need: int, asker: Rank, picked: set[int]
) -> None:
    pinned = {entry for index, entry in enumerate(entries) if index in picked}
    allowed = [entry for entry in entries if asker is Rank.MAIN or entry not in pinned]
    gone = victims(entries, need, asker, pinned)
    if gone is None:
        assert sum(entry.size for entry in allowed) < need
        return
    assert sum(entry.size for entry in gone) >= need
    assert sum(entry.size for entry in gone[:-1]) < need

    def place(entry: Kept) -> tuple[bool, int, float, int]:
        # A pinned entry's rank says nothing: it is a main conversation's.
        return entry in pinned, 0 if entry in pinned else entry.rank, entry.used, -entry.start

    assert [place(entry) for entry in gone] == sorted(map(place, allowed))[: len(gone)]

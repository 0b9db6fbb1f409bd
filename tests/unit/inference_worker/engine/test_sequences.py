"""Books of sequences and cells, checked against a backend that really holds them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.inference_worker.backends.base import Outcome, Slice
from services.inference_worker.engine.sequences import Sequence, Sequences, tokens_of
from tests.fakes.backend import FakeBackend


class Rig:
    """Sequences over a fake backend; `feed` decodes as the engine does."""

    def __init__(self, sequences: int = 4, cells: int = 1024, partial_prefix: bool = True) -> None:
        self.backend = FakeBackend(sequences, cells, batch=cells, partial_prefix=partial_prefix)
        self.books = Sequences(self.backend)

    def feed(self, sequence: Sequence, text: str) -> None:
        tokens = tokens_of(text.encode())
        slices = [Slice(sequence.id, sequence.length, tokens, 1)]
        assert self.backend.decode(slices) is Outcome.DONE
        self.books.extend(sequence, tokens)

    def run(self, text: str, keep: bool = True) -> int:
        """A whole request: place, feed the rest, release. The length of the reused prefix."""
        sequence = self.books.place(tokens_of(text.encode()))
        reused = sequence.length
        self.feed(sequence, text[reused:])
        self.books.release(sequence, keep)
        return reused

    def check(self) -> None:
        """The books say what the cache holds."""
        assert self.books.cells_used == self.backend.cells_used
        for sequence in self.books._all:
            assert sequence.tokens.tolist() == self.backend.held(sequence.id)


def test_the_next_turn_goes_on_in_place() -> None:
    rig = Rig()
    assert rig.run("system. hello") == 0
    assert rig.run("system. hello world") == 13
    rig.check()
    assert rig.books.cells_used == len("system. hello world")


def test_one_token_is_always_left_to_feed() -> None:
    rig = Rig()
    rig.run("same prompt")
    assert rig.run("same prompt") == len("same prompt") - 1


def test_a_short_common_prefix_is_copied_and_the_donor_stays() -> None:
    rig = Rig()
    rig.run("sys. a long conversation about something")
    assert rig.run("sys. title") == 5
    rig.check()
    assert rig.run("sys. a long conversation about something else") == 40


def test_a_running_sequence_lends_its_prefix() -> None:
    rig = Rig()
    running = rig.books.place(tokens_of(b"shared prefix, one"))
    rig.feed(running, "shared prefix, one")
    assert rig.run("shared prefix, two") == len("shared prefix, ")
    rig.check()
    assert running.tokens.tobytes() == tokens_of(b"shared prefix, one").tobytes()
    # The prefix is held once.
    assert rig.books.cells_used == 18 + 3


def test_the_last_free_sequence_is_used_even_if_it_is_the_donor() -> None:
    rig = Rig(sequences=1)
    rig.run("sys. a long conversation about something")
    assert rig.run("sys. title") == 5
    rig.check()


def test_the_longest_unused_prefix_gives_way() -> None:
    rig = Rig(sequences=2)
    rig.run("alpha alpha")
    rig.run("beta beta")
    rig.run("gamma")
    assert rig.run("beta beta!") == 9
    assert rig.run("alpha alpha!") == 0


def test_released_without_keeping_frees_the_cells() -> None:
    rig = Rig()
    rig.run("throw away", keep=False)
    assert rig.books.cells_used == 0
    assert rig.run("throw away") == 0


def test_cells_busy_counts_only_what_runs() -> None:
    rig = Rig()
    rig.run("idle")
    running = rig.books.place(tokens_of(b"busy one"))
    rig.feed(running, "busy one")
    twin = rig.books.take_empty()
    rig.books.copy(running, twin, running.length)
    assert rig.books.cells_busy() == len("busy one")
    assert rig.books.cells_used == len("idle") + len("busy one")
    assert (rig.books.busy, rig.books.free) == (2, 2)


def test_make_room_drops_idle_prefixes_only() -> None:
    rig = Rig(sequences=3, cells=100)
    rig.run("x" * 30)
    rig.run("y" * 30)
    running = rig.books.place(tokens_of(b"z" * 30))
    rig.feed(running, "z" * 30)
    assert rig.books.make_room(40)
    assert rig.books.cells_free == 40
    assert not rig.books.make_room(71)
    rig.check()
    assert running.length == 30


def test_siblings_grow_apart_and_end_one_by_one() -> None:
    rig = Rig()
    leader = rig.books.place(tokens_of(b"prompt"))
    rig.feed(leader, "prompt")
    siblings = [rig.books.take_empty(), rig.books.take_empty()]
    for sibling in siblings:
        rig.books.copy(leader, sibling, leader.length)
    for sequence, text in zip([leader, *siblings], ["aaaa", "bb", "c"], strict=True):
        rig.feed(sequence, text)
        rig.check()
    assert rig.books.cells_used == 6 + 4 + 2 + 1
    rig.books.release(leader, keep=False)
    rig.check()
    # The prompt's cells live on in the siblings.
    assert rig.books.cells_used == 6 + 2 + 1
    rig.books.release(siblings[0], keep=False)
    rig.books.release(siblings[1], keep=False)
    rig.check()
    assert rig.books.cells_used == 0


def test_a_copy_is_saved_as_far_as_its_source() -> None:
    rig = Rig()
    source = rig.books.place(tokens_of(b"abcdef"))
    rig.feed(source, "abcdef")
    source.saved = 4
    for length, saved in ((6, 4), (3, 3)):
        target = rig.books.take_empty()
        rig.books.copy(source, target, length)
        assert target.saved == saved
    rig.books.cut(source, 2)
    assert source.saved == 2


def test_whoever_keeps_state_hears_of_idle_prefixes_before_they_are_lost() -> None:
    rig = Rig(sequences=2, cells=64)
    lost: list[bytes] = []
    rig.books.before_loss = lambda sequence: lost.append(bytes(sequence.tokens.tolist()))
    rig.run("alpha")
    rig.run("beta")
    assert lost == []
    # Another takes the sequence, goes on from a part of it in place, or wants the cells.
    rig.run("gamma")
    rig.run("beto")
    rig.books.make_room(64)
    assert lost == [b"alpha", b"beta", b"gamma", b"beto"]


def test_roll_back_forgets_what_an_interrupted_decode_left() -> None:
    rig = Rig()
    sequence = rig.books.place(tokens_of(b"abcdef"))
    rig.feed(sequence, "abc")
    rig.backend.interrupt(True)
    slices = [Slice(sequence.id, 3, tokens_of(b"def"), 1)]
    assert rig.backend.decode(slices) is Outcome.INTERRUPTED
    assert rig.backend.held(sequence.id) == list(b"abcdef")
    assert rig.books.roll_back(sequence)
    rig.check()


class TestRecurrentModels:
    """Their state cannot be cut: a prefix is reused whole or not at all."""

    def test_a_whole_state_is_continued(self) -> None:
        rig = Rig(partial_prefix=False)
        rig.run("first turn")
        assert rig.run("first turn, second turn") == 10
        rig.check()

    def test_a_diverging_state_is_not_used(self) -> None:
        rig = Rig(partial_prefix=False)
        rig.run("first turn")
        assert rig.run("first time") == 0
        assert rig.run("first turn") == 0
        rig.check()

    def test_a_roll_back_empties_the_sequence(self) -> None:
        rig = Rig(partial_prefix=False)
        sequence = rig.books.place(tokens_of(b"abcdef"))
        rig.feed(sequence, "abc")
        rig.backend.interrupt(True)
        rig.backend.decode([Slice(sequence.id, 3, tokens_of(b"def"), 1)])
        assert not rig.books.roll_back(sequence)
        rig.check()
        assert sequence.length == 0


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("run"), st.text(alphabet="ab", min_size=1, max_size=12), st.booleans()),
        st.tuples(st.just("start"), st.text(alphabet="ab", min_size=1, max_size=12), st.booleans()),
        st.tuples(st.just("grow"), st.text(alphabet="ab", min_size=1, max_size=4), st.booleans()),
        st.tuples(st.just("fork"), st.just(""), st.booleans()),
        st.tuples(st.just("end"), st.just(""), st.booleans()),
        st.tuples(st.just("evict"), st.just(""), st.booleans()),
    ),
    max_size=40,
)


@pytest.mark.parametrize("partial_prefix", [True, False])
@settings(max_examples=150, deadline=None)
@given(steps=STEPS)
def test_the_books_never_disagree_with_the_cache(
    partial_prefix: bool, steps: list[tuple[str, str, bool]]
) -> None:
    rig = Rig(sequences=3, cells=4096, partial_prefix=partial_prefix)
    running: list[Sequence] = []
    for action, text, flag in steps:
        if action == "run" and rig.books.free:
            rig.run(text, keep=flag)
        elif action == "start" and rig.books.free:
            sequence = rig.books.place(tokens_of(text.encode()), keep_donor=flag)
            assert text.encode().startswith(bytes(sequence.tokens.tolist()))
            rig.feed(sequence, text[sequence.length :])
            running.append(sequence)
        elif action == "grow" and running:
            rig.feed(running[0], text)
        elif action == "fork" and running and rig.books.free:
            target = rig.books.take_empty()
            rig.books.copy(running[0], target, running[0].length)
            running.append(target)
        elif action == "end" and running:
            rig.books.release(running.pop(0), keep=flag)
        elif action == "evict":
            rig.books.evict_idle()
        rig.check()
        assert 0 <= rig.books.cells_busy() <= rig.books.cells_used
    for sequence in running:
        rig.books.release(sequence, keep=False)
    while rig.books.evict_idle():
        rig.check()
    assert rig.books.cells_used == 0

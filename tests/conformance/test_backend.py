"""What every backend promises the engine (`backends/base.py`), held by the fake and every kind of model."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from services.inference_worker.backends.base import Backend, Outcome, Slice
from tests.conformance.subjects import (
    BATCH,
    CELLS,
    SEQUENCES,
    Subject,
    draw,
    every_backend,
    feed,
    go_on,
    same,
)

pytestmark = every_backend
BLOCK = 7
STEPS = 6


def words(count: int, seed: int = 0) -> list[int]:
    random = Random(seed)
    return [random.randrange(ord("a"), ord("z") + 1) for _ in range(count)]


@pytest.fixture
def backend(subject: Subject) -> Iterator[Backend]:
    backend = subject.make(CELLS)
    yield backend
    backend.close()


def blocks(backend: Backend, length: int) -> list[tuple[int, int]]:
    """The ranges in which a sequence of `length` tokens can be saved."""
    if not backend.capacity.partial_prefix:
        return [(0, length)]
    return [(start, min(start + BLOCK, length)) for start in range(0, length, BLOCK)]


def test_what_it_says_of_itself(backend: Backend) -> None:
    capacity = backend.capacity
    assert (capacity.sequences, capacity.cells, capacity.batch) == (SEQUENCES, CELLS, BATCH)
    assert capacity.outputs >= capacity.sequences
    assert (capacity.rollback is None) is capacity.partial_prefix
    assert len(bytes.fromhex(backend.fingerprint)) == 32


def test_equal_backends_have_equal_fingerprints(subject: Subject, backend: Backend) -> None:
    other = subject.make(CELLS // 2)
    assert other.fingerprint == backend.fingerprint
    other.close()


@pytest.mark.parametrize("place", [0, 20, 45, 59])
def test_one_wrong_token_shows(subject: Subject, backend: Backend, place: int) -> None:
    """The comparisons below mean something: what is wrong in a prompt is seen in what follows."""
    wrong = words(60)
    wrong[place] ^= 1
    answers = []
    for sequence, prompt in enumerate((words(60), wrong)):
        feed(backend, sequence, prompt)
        answers.append(go_on(backend, sequence, 60, ord("x"), STEPS))
    with pytest.raises(AssertionError):
        same(subject, *answers)


class TestCopies:
    def test_each_goes_on_as_the_source_would(self, subject: Subject, backend: Backend) -> None:
        prompt = words(90)
        first, _ = feed(backend, 0, prompt)
        alone = go_on(backend, 0, 90, first, STEPS)
        backend.drop(0)
        assert feed(backend, 0, prompt)[0] == first
        backend.copy(0, 1, 90)
        backend.copy(0, 2, 90)
        assert go_on(backend, 2, 90, first, STEPS) == alone
        assert go_on(backend, 0, 90, first, STEPS) == alone
        assert go_on(backend, 1, 90, first, STEPS) == alone

    def test_they_part_and_do_not_see_each_other(self, subject: Subject, backend: Backend) -> None:
        prompt, tails = words(90), [words(40, seed) for seed in (1, 2, 3)]
        alone = []
        for tail in tails:
            alone.append(feed(backend, 3, prompt + tail))
            backend.drop(3)
        feed(backend, 0, prompt)
        backend.copy(0, 1, 90)
        backend.copy(0, 2, 90)
        for step in range(40):
            assert (
                backend.decode([Slice(each, 90 + step, [tails[each][step]], 1) for each in range(3)])
                is Outcome.DONE
            )
        same(subject, [draw(backend, row) for row in range(3)], alone)

    def test_the_source_may_leave(self, subject: Subject, backend: Backend) -> None:
        first, _ = feed(backend, 0, words(90))
        backend.copy(0, 1, 90)
        alone = go_on(backend, 0, 90, first, STEPS)
        backend.drop(0)
        feed(backend, 2, words(200, seed=5))
        assert go_on(backend, 1, 90, first, STEPS) == alone


class TestCuts:
    @pytest.mark.parametrize("length", [0, 1, 30, 89, 90])
    def test_what_can_be_cut_is_as_if_the_rest_had_never_been(
        self, subject: Subject, backend: Backend, length: int
    ) -> None:
        prompt, tail = words(90), words(20, seed=9)
        cold = feed(backend, 1, prompt[:length] + tail)
        backend.drop(1)
        feed(backend, 0, prompt)
        possible = backend.can_cut(0, length)
        assert possible or not backend.capacity.partial_prefix
        assert possible or 0 < length < 90, "nothing and all are always possible"
        assert backend.cut(0, length) is possible
        if possible:
            same(subject, [feed(backend, 0, tail, length)], [cold])

    def test_a_cut_that_is_refused_leaves_all_as_it_was(self, subject: Subject, backend: Backend) -> None:
        prompt = words(300)
        first, _ = feed(backend, 0, prompt)
        expected = go_on(backend, 0, 300, first, STEPS)
        backend.drop(0)
        feed(backend, 0, prompt)
        feed(backend, 1, words(300, seed=1))
        for length in (1, 20, 150, 270):
            if not backend.can_cut(0, length):
                assert not backend.cut(0, length)
        if not backend.capacity.partial_prefix:
            assert not backend.can_cut(0, 1), "300 tokens are far more than any window here"
            assert go_on(backend, 0, 300, first, STEPS) == expected

    @pytest.mark.parametrize("others", [0, 60, 77, 90, 111, 130])
    def test_the_shortest_cut_that_is_possible_is_right(
        self, subject: Subject, backend: Backend, others: int
    ) -> None:
        """… however much of what is behind a window has been overwritten by others."""
        prompt, tail = words(180), words(4, seed=9)
        feed(backend, 0, prompt)
        for at in range(others):
            feed(backend, 1, words(1, seed=at), at)
        length = next(length for length in range(1, 181) if backend.can_cut(0, length))
        assert backend.cut(0, length)
        warm = feed(backend, 0, tail, length, chunk=1)
        backend.drop(1)
        same(subject, [warm], [feed(backend, 2, prompt[:length] + tail)])

    def test_longer_than_the_sequence_cannot_be(self, backend: Backend) -> None:
        feed(backend, 0, words(10))
        assert not backend.can_cut(0, 11)
        assert not backend.cut(0, 11)

    @pytest.mark.parametrize("wrong", [1, 4, 8])
    def test_drafted_tokens_are_taken_back(self, subject: Subject, backend: Backend, wrong: int) -> None:
        """A step of speculation: a token that is sure and a draft behind it, of which the end is wrong."""
        prompt = words(90)
        first, _ = feed(backend, 0, prompt)
        plain = go_on(backend, 0, 90, first, 4 + STEPS)
        backend.drop(0)
        feed(backend, 0, prompt)
        right = [first, *(token for token, _ in plain[:3])]
        # Another sequence in the same batch, before it: rows are counted over all of it.
        other = words(5, seed=3)
        outcome = backend.decode(
            [
                Slice(1, 0, other, 1),
                Slice(0, 90, right + [ord("#")] * wrong, len(right) + wrong),
            ]
        )
        assert outcome is Outcome.DONE
        rows = [draw(backend, len(other) + index) for index in range(len(right))]
        same(subject, rows, plain[:4])
        rollback = backend.capacity.rollback
        assert backend.can_cut(0, 94) is (rollback is None or wrong <= rollback)
        if backend.cut(0, 94):
            same(subject, go_on(backend, 0, 94, plain[3][0], STEPS), plain[4:])


class TestStates:
    def test_a_loaded_sequence_goes_on_to_the_bit(self, backend: Backend) -> None:
        prompt = words(150)
        first, _ = feed(backend, 0, prompt)
        states = [(start, end, backend.save(0, start, end)) for start, end in blocks(backend, 150)]
        expected = go_on(backend, 0, 150, first, STEPS)
        backend.drop(0)
        for start, end, state in states:
            assert backend.load(3, start, end, state)
        assert go_on(backend, 3, 150, first, STEPS) == expected

    def test_its_cells_may_lie_anywhere(self, subject: Subject, backend: Backend) -> None:
        """… and are saved from and loaded into holes between others'."""
        prompt = words(150)
        first, _ = feed(backend, 0, prompt)
        expected = go_on(backend, 0, 150, first, STEPS)
        backend.drop(0)
        # Two sequences that take turns, one of which leaves, make holes everywhere.
        for at in range(0, 120, 10):
            for sequence in (1, 2):
                feed(backend, sequence, words(10, seed=at + sequence), at)
        backend.drop(2)
        feed(backend, 0, prompt)
        states = [(start, end, backend.save(0, start, end)) for start, end in blocks(backend, 150)]
        backend.drop(0)
        backend.drop(1)
        feed(backend, 2, words(35, seed=77))
        for start, end, state in states:
            assert backend.load(3, start, end, state)
        same(subject, go_on(backend, 3, 150, first, STEPS), expected)

    def test_saving_changes_nothing(self, backend: Backend) -> None:
        first, _ = feed(backend, 0, words(50))
        expected = go_on(backend, 0, 50, first, STEPS)
        backend.drop(0)
        feed(backend, 0, words(50))
        for start, end in blocks(backend, 50):
            assert backend.save(0, start, end)
        assert go_on(backend, 0, 50, first, STEPS) == expected

    def test_another_process_can_load_it(self, subject: Subject, backend: Backend) -> None:
        first, _ = feed(backend, 0, words(50))
        states = [(start, end, backend.save(0, start, end)) for start, end in blocks(backend, 50)]
        expected = go_on(backend, 0, 50, first, STEPS)
        other = subject.make(CELLS)
        for start, end, state in states:
            assert other.load(2, start, end, state)
        assert go_on(other, 2, 50, first, STEPS) == expected
        other.close()

    def test_garbage_is_refused_and_leaves_the_sequence_alone(
        self, subject: Subject, backend: Backend
    ) -> None:
        ranges = backend.capacity.partial_prefix
        start, end = (BLOCK, 2 * BLOCK) if ranges else (0, 50)
        first, _ = feed(backend, 0, words(50))
        expected = go_on(backend, 0, 50, first, STEPS)
        backend.drop(0)
        feed(backend, 0, words(50))
        state = backend.save(0, start, end)
        if ranges:
            assert backend.cut(0, start)
        else:
            backend.drop(0)
        middle = len(state) // 2
        flipped = [state[:at] + bytes((state[at] ^ 1,)) + state[at + 1 :] for at in (0, 40, 48, 60, middle)]
        cut = [b"", state[:-1], state[:middle], state[:10], state[middle:]]
        for garbage in (b"\0" * len(state), *cut, *flipped):
            assert not backend.load(0, start, end, garbage)
        assert not backend.load(0, start, end + 1, state), "a state of another range"
        assert backend.load(0, start, end, state)
        if end < 50:
            feed(backend, 0, words(50)[end:], end)
        same(subject, go_on(backend, 0, 50, first, STEPS), expected)

    def test_without_room_nothing_is_loaded(self, subject: Subject) -> None:
        if not subject.limited:
            pytest.skip("its states take no cells")
        backend = subject.make(256)
        first, _ = feed(backend, 0, words(100))
        state = backend.save(0, 0, 100)
        expected = go_on(backend, 0, 100, first, STEPS)
        backend.drop(0)
        feed(backend, 0, words(100))
        feed(backend, 1, words(100, seed=1))
        assert not backend.load(2, 0, 100, state)
        assert go_on(backend, 0, 100, first, STEPS) == expected
        backend.drop(1)
        assert backend.load(2, 0, 100, state)
        assert go_on(backend, 2, 100, first, STEPS) == expected
        backend.close()


class TestDecodes:
    @pytest.mark.parametrize("cells", [256, 768])
    def test_without_room_nothing_changes(self, subject: Subject, cells: int) -> None:
        if not subject.limited:
            pytest.skip("its sequences take no cells")
        backend = subject.make(cells)
        first, _ = feed(backend, 0, words(100))
        expected = go_on(backend, 0, 100, first, STEPS)
        backend.drop(0)
        feed(backend, 0, words(100))
        feed(backend, 1, words(cells - 128, seed=1))
        mixed = [Slice(0, 100, [first], 1), Slice(2, 0, words(60, seed=2), 1)]
        assert backend.decode(mixed) is Outcome.NO_ROOM
        backend.drop(1)
        same(subject, go_on(backend, 0, 100, first, STEPS), expected)
        backend.close()

    def test_interrupted_it_can_be_undone_or_is_lost_but_others_are_not(self, backend: Backend) -> None:
        first, _ = feed(backend, 0, words(80))
        expected = go_on(backend, 0, 80, first, STEPS)
        backend.drop(0)
        feed(backend, 0, words(80))
        feed(backend, 1, words(30, seed=1))
        backend.interrupt(True)
        outcome = backend.decode([Slice(1, 30, words(34, seed=2), 1)])
        backend.interrupt(False)
        # Where an interruption would harm others, it does not happen.
        assert outcome in (Outcome.INTERRUPTED, Outcome.DONE)
        if backend.can_cut(1, 30):
            assert backend.cut(1, 30)
            feed(backend, 1, words(34, seed=2), 30)
        else:
            backend.drop(1)
            feed(backend, 1, words(30, seed=1) + words(34, seed=2))
        assert go_on(backend, 0, 80, first, STEPS) == expected

    def test_a_batch_that_is_too_large_is_refused(self, backend: Backend) -> None:
        with pytest.raises((ValueError, AssertionError)):
            backend.decode([Slice(0, 0, words(BATCH + 1), 1)])
        feed(backend, 0, words(BATCH))

    def test_many_rows_of_one_sequence_are_its_steps(self, subject: Subject, backend: Backend) -> None:
        text = words(20)
        backend.decode([Slice(0, 0, text, len(text))])
        rows = [draw(backend, row) for row in range(len(text))]
        single = [feed(backend, 1, [token], position) for position, token in enumerate(text)]
        same(subject, rows, single)


class TestReuse:
    def test_turns_of_a_conversation_are_as_if_computed_at_once(
        self, subject: Subject, backend: Backend
    ) -> None:
        """The same answer by reuse in place, from a copy, from saved states and without any reuse."""
        turns = [words(count, seed=count) for count in (70, 33, 101)]
        whole = [token for turn in turns for token in turn]
        cold = feed(backend, 3, whole)
        backend.drop(3)
        position = 0
        for turn in turns:
            if position:
                backend.copy(0, 1, position)
                saved = [
                    (start, end, backend.save(0, start, end)) for start, end in blocks(backend, position)
                ]
                backend.drop(2)
                for start, end, state in saved:
                    assert backend.load(2, start, end, state)
            last = [feed(backend, sequence, turn, position) for sequence in ((0, 1, 2) if position else (0,))]
            position += len(turn)
            if position < len(whole):
                backend.drop(1)
        same(subject, last, [cold] * 3)

    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_any_order_of_calls_keeps_every_sequence_right(
        self, subject: Subject, backend: Backend, seed: int
    ) -> None:
        """Random calls beside a book of what each sequence holds; a second backend computes from nothing."""
        random = Random(seed)
        held: list[list[int]] = [[] for _ in range(SEQUENCES)]
        saved: list[tuple[list[int], list[tuple[int, int, bytes]]]] = []
        reference = subject.make(CELLS)
        for _ in range(80):
            sequence, other = random.sample(range(SEQUENCES), 2)
            tokens = held[sequence]
            match random.choice(("feed", "feed", "feed", "copy", "cut", "drop", "save", "load", "short")):
                case "feed" | "short" as size:
                    more = words(random.randint(1, 3 if size == "short" else 60), random.randrange(1000))
                    if sum(map(len, held)) + len(more) >= CELLS:
                        continue
                    # Beside a prompt another sequence takes a step, as the engine mixes them.
                    beside = (
                        [Slice(other, len(held[other]), words(1, seed=len(more)), 0)] if held[other] else []
                    )
                    assert backend.decode([*beside, Slice(sequence, len(tokens), more, 1)]) is Outcome.DONE
                    tokens += more
                    for each in beside:
                        held[other] += each.tokens
                case "copy" if tokens:
                    backend.drop(other)
                    backend.copy(sequence, other, len(tokens))
                    held[other] = list(tokens)
                case "cut" if tokens:
                    length = random.choice((random.randrange(len(tokens)), max(0, len(tokens) - 5)))
                    if backend.cut(sequence, length):
                        del tokens[length:]
                case "drop":
                    backend.drop(sequence)
                    held[sequence] = []
                case "save" if tokens:
                    ranges = blocks(backend, len(tokens))
                    saved.append((list(tokens), [(*each, backend.save(sequence, *each)) for each in ranges]))
                case "load" if saved:
                    prefix, states = random.choice(saved)
                    backend.drop(sequence)
                    held[sequence] = []
                    if sum(map(len, held)) + len(prefix) > CELLS:
                        continue
                    for start, end, state in states:
                        assert backend.load(sequence, start, end, state)
                    held[sequence] = list(prefix)
                case _:
                    continue
        probe = words(3, seed=99)
        for sequence, tokens in enumerate(held):
            if len(tokens) + len(probe) > CELLS - sum(map(len, held)) + len(tokens):
                continue
            reference.drop(0)
            expected = feed(reference, 0, tokens + probe, chunk=50)
            same(subject, [feed(backend, sequence, probe, len(tokens))], [expected])
        reference.close()

"""Guesses change no answer: right, wrong or half right, drawn or greedy, guided or not."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.inference_worker.backends.base import Mask, Outcome
from services.inference_worker.engine.jobs import Finish, Generated
from services.inference_worker.engine.scheduler import Limits
from services.inference_worker.engine.speculator import Speculator
from services.inference_worker.kv.store import KvStore
from tests.fakes.backend import END, GREEDY, FakeBackend, ToyModel
from tests.unit.inference_worker.engine.rig import CANCELLED, EagerPacer, Rig, ScriptedDrafter, drawn, eager

Guess = Callable[["array[int]", int], Sequence[int]]


def right(model: ToyModel) -> Guess:
    def guess(tokens: array[int], most: int) -> Sequence[int]:
        known = tokens.tolist()
        for _ in range(most):
            known.append(model.next(known))
        return known[len(tokens) :]

    return guess


def wrong(tokens: array[int], most: int) -> Sequence[int]:
    return [ord("#")] * most


def half(model: ToyModel, upto: int) -> Guess:
    """Right at first, then wrong."""

    def guess(tokens: array[int], most: int) -> Sequence[int]:
        return [*right(model)(tokens, most)[:upto], *wrong(tokens, most)][:most]

    return guess


def none(tokens: array[int], most: int) -> Sequence[int]:
    return ()


def told(prompt: str, seeds: Sequence[int], most: int) -> Guess:
    """What one of these seeds will say, whoever asks: right for one candidate, wrong for the others."""
    answers = [ToyModel().answer(prompt, most, seed).encode() for seed in seeds]

    def guess(tokens: array[int], most: int) -> Sequence[int]:
        said = bytes(tokens.tolist())[len(prompt) :]
        for answer in answers:
            if answer.startswith(said):
                return list(answer[len(said) : len(said) + most])
        return list(answers[0][:most])

    return guess


GUESSES = pytest.mark.parametrize(
    "guess", [right(ToyModel()), wrong, half(ToyModel(), 1), half(ToyModel(), 3), none]
)


def speculating(guess: Guess, backend: FakeBackend | None = None, most: int = 8) -> Rig:
    return Rig(backend or FakeBackend(), speculator=eager(guess, most))


class TestGreedy:
    @GUESSES
    def test_the_answer_is_the_models(self, guess: Guess) -> None:
        rig = speculating(guess)
        _, reader = rig.submit("hello", max_tokens=40)
        rig.run()
        assert reader.text() == ToyModel().answer("hello", 40)
        assert reader.finish() is Finish.LENGTH
        assert reader.generated()[-1].completion_tokens == 40
        rig.check_empty()

    def test_right_guesses_save_steps(self) -> None:
        rig = speculating(right(ToyModel()))
        rig.submit("hello", max_tokens=40)
        # One token of its own and eight guesses in each step after the first.
        assert rig.run() == 1 + -(-39 // 9)
        status = rig.core.status()
        assert status.accepted_tokens == status.drafted_tokens == 39 - 5

    def test_wrong_guesses_are_cut_off_and_counted(self) -> None:
        rig = speculating(wrong)
        rig.submit("hello", max_tokens=10)
        assert rig.run() == 10
        status = rig.core.status()
        assert status.accepted_tokens == 0
        assert status.drafted_tokens > 0

    @GUESSES
    def test_what_a_step_said_comes_out_token_by_token(self, guess: Guess) -> None:
        rig = speculating(guess)
        _, reader = rig.submit("hello", max_tokens=20)
        rig.run()
        generated = reader.generated()
        assert [each.completion_tokens for each in generated] == list(range(1, 21))
        assert all(isinstance(each, Generated) and each.sampled is not None for each in generated)

    @GUESSES
    def test_beside_others(self, guess: Guess) -> None:
        rig = speculating(guess, FakeBackend(sequences=8, cells=4096))
        readers = [rig.submit(f"prompt {index} " * 9, max_tokens=20)[1] for index in range(8)]
        rig.run()
        for index, reader in enumerate(readers):
            assert reader.text() == ToyModel().answer(f"prompt {index} " * 9, 20)
        rig.check_empty()


class TestDrawn:
    @pytest.mark.parametrize("upto", [0, 1, 4, 60])
    def test_each_candidate_draws_as_without_guesses(self, upto: int) -> None:
        """A seed's random numbers are used up token by token, however many come out of a step."""
        seeds = [1, 2, 3]
        rig = speculating(lambda tokens, most: told("prompt", seeds, 60)(tokens, most)[:upto])
        _, reader = rig.submit("prompt", [drawn(seed) for seed in seeds], 60)
        rig.run()
        for index, seed in enumerate(seeds):
            assert reader.text(index) == ToyModel().answer("prompt", 60, seed)
        if upto > 1:
            assert rig.core.status().accepted_tokens > 60
        rig.check_empty()

    @settings(max_examples=40, deadline=None)
    @given(
        jobs=st.lists(
            st.tuples(st.integers(1, 60), st.integers(1, 4), st.integers(1, 30)), min_size=1, max_size=6
        ),
        luck=st.floats(0, 1),
        rollback=st.sampled_from([None, 0, 2, 64]),
        sequences=st.integers(1, 5),
    )
    def test_whatever_is_guessed(
        self, jobs: list[tuple[int, int, int]], luck: float, rollback: int | None, sequences: int
    ) -> None:
        """Each guess is what the greedy model would say, or not; the model can be cut back far or not."""
        random, model = Random(1), ToyModel()

        def guess(tokens: array[int], most: int) -> Sequence[int]:
            return [
                token if random.random() < luck else ord("#")
                for token in right(model)(tokens, random.randint(0, most))
            ]

        backend = FakeBackend(sequences, 250, 32, partial_prefix=rollback is None, rollback=rollback or 0)
        rig = Rig(
            backend,
            Limits(batch=32, headroom=4),
            KvStore(backend.fingerprint, 1 << 20, None),
            eager(guess),
        )
        readers = []
        for number, (length, width, tokens) in enumerate(jobs):
            prompt = (f"{number} shared " * 20)[:length]
            specs = [GREEDY, *(drawn(seed) for seed in range(1, width))]
            readers.append((prompt, width, tokens, rig.submit(prompt, specs, tokens)[1]))
            rig.step(2)
            rig.check_books()
        rig.run(most=20_000)
        for prompt, width, tokens, reader in readers:
            for index in range(width):
                assert reader.text(index) == model.answer(prompt, tokens, index or None)
        rig.check_empty()


class TestEndsInsideADraft:
    def test_the_models_end(self) -> None:
        model = ToyModel({"hi": "bye"})
        rig = speculating(right(model), FakeBackend(model=model))
        _, reader = rig.submit("hi", max_tokens=100)
        assert rig.run() == 2
        assert (reader.text(), reader.finish()) == ("bye", Finish.STOP)
        assert reader.generated()[-1].completion_tokens == 4
        rig.check_empty()

    def test_nothing_behind_the_end_is_said(self) -> None:
        """The guesses go on behind the end, as lookup does in a prompt."""
        model = ToyModel({"hi": "bye"})

        def guess(tokens: array[int], most: int) -> Sequence[int]:
            rest = b"bye"[len(tokens) - 2 :]
            return [*rest, END, *b"more and more"][:most]

        rig = speculating(guess, FakeBackend(model=model))
        _, reader = rig.submit("hi", max_tokens=100)
        rig.run()
        assert reader.text() == "bye"
        # What stays in the cache is what the next turn can use.
        _, again = rig.submit("hibye!", max_tokens=3)
        rig.run()
        assert again.cached == 5
        assert again.text() == ToyModel().answer("hibye!", 3)
        rig.check_empty()

    def test_a_stop_string(self) -> None:
        model = ToyModel({"hi": "one two three four"})
        rig = speculating(right(model), FakeBackend(model=model), most=16)
        _, reader = rig.submit("hi", max_tokens=100, stops=("two",))
        assert rig.run() == 2
        assert (reader.text(), reader.finish()) == ("one ", Finish.STOP)
        assert reader.generated()[-1].completion_tokens == len("one two")
        rig.check_empty()

    @pytest.mark.parametrize("limit", range(1, 14))
    def test_max_tokens(self, limit: int) -> None:
        rig = speculating(right(ToyModel()), most=4)
        _, reader = rig.submit("hello", max_tokens=limit)
        rig.run()
        assert reader.text() == ToyModel().answer("hello", limit)
        assert (len(reader.generated()), reader.finish()) == (limit, Finish.LENGTH)
        rig.check_empty()


class TestRoom:
    def test_guesses_take_no_cells_from_others(self) -> None:
        rig = speculating(right(ToyModel()), FakeBackend(sequences=2, cells=100))
        first = rig.submit("first", max_tokens=40)[1]
        second = rig.submit("second", max_tokens=40)[1]
        rig.run()
        assert first.text() == ToyModel().answer("first", 40)
        assert second.text() == ToyModel().answer("second", 40)
        assert rig.core.status().suspensions == 0

    def test_no_room_for_guesses_in_spite_of_the_books(self) -> None:
        """The only candidate is not cut off for want of cells that only its guesses wanted."""
        rig = speculating(right(ToyModel()))
        _, reader = rig.submit("hello", max_tokens=30)
        rig.step(2)
        rig.backend.outcomes = [Outcome.NO_ROOM]
        rig.run()
        assert (reader.text(), reader.finish()) == (ToyModel().answer("hello", 30), Finish.LENGTH)
        rig.check_empty()

    def test_no_more_rows_with_logits_than_there_are(self) -> None:
        # The fake asserts it.
        rig = speculating(right(ToyModel()), FakeBackend(sequences=4, outputs=6))
        readers = [rig.submit(f"prompt {index}", max_tokens=20)[1] for index in range(4)]
        rig.run()
        for index, reader in enumerate(readers):
            assert reader.text() == ToyModel().answer(f"prompt {index}", 20)

    def test_models_that_cannot_take_tokens_back_go_without(self) -> None:
        backend = FakeBackend(partial_prefix=False, rollback=0)
        rig = speculating(right(ToyModel()), backend)
        _, reader = rig.submit("hello", max_tokens=20)
        assert rig.run() == 20
        assert reader.text() == ToyModel().answer("hello", 20)

    def test_an_interrupted_step_with_guesses_is_repeated(self) -> None:
        rig = speculating(half(ToyModel(), 2))
        _, reader = rig.submit("hello", [drawn(1), GREEDY], 20)
        rig.step(3)
        rig.backend.interrupt(True)
        rig.step()
        rig.backend.interrupt(False)
        rig.run()
        assert reader.text(0) == ToyModel().answer("hello", 20, 1)
        assert reader.text(1) == ToyModel().answer("hello", 20)
        rig.check_empty()

    def test_prompts_are_fed_although_guesses_are_in_every_step(self) -> None:
        """Streams are measured without guesses, so that the others know how much they may take."""
        rig = speculating(right(ToyModel()), FakeBackend(cells=8192))
        _, stream = rig.submit("stream", max_tokens=400)
        rig.step(3)
        _, reader = rig.submit("long" * 200, max_tokens=2)
        rig.run_until(lambda: reader.ended, most=60)
        assert stream.ended is None
        assert reader.text() == ToyModel().answer("long" * 200, 2)


class TestTheSpeculator:
    def test_hears_what_was_said_and_who_is_over(self) -> None:
        pacer = EagerPacer()
        drafter = ScriptedDrafter(half(ToyModel(), 2))
        rig = Rig(speculator=Speculator(drafter, pacer))  # type: ignore[arg-type]
        job, reader = rig.submit("hello", [GREEDY, GREEDY], 30)
        rig.step(6)
        for index in range(2):
            # All but the first token, which nobody guessed at.
            assert bytes(pacer.said[0, index]).decode() == reader.text(index)[1:]
        assert set(drafter.asked) == {(0, 0), (0, 1)}
        rig.core.settle(job, 1)
        assert drafter.forgotten == [(0, 1)]
        rig.core.cancel(job, CANCELLED)
        assert drafter.forgotten == [(0, 1), (0, 0)]


class Letters:
    """Only these letters may come next, in this order of turns; then anything."""

    def __init__(self, *turns: str) -> None:
        self.turns = [frozenset(turn.encode()) for turn in turns]
        self.accepted: list[tuple[int, bytes]] = []
        self.asked = 0

    def mask(self) -> Mask | None:
        self.asked += 1
        if len(self.accepted) >= len(self.turns):
            return None
        allowed = np.zeros(9, np.uint32)
        for letter in self.turns[len(self.accepted)]:
            allowed[letter // 32] |= np.uint32(1 << letter % 32)
        return allowed

    def accept(self, token: int, piece: bytes) -> None:
        assert piece == bytes([token])
        self.accepted.append((token, piece))


class TestGuides:
    @pytest.mark.parametrize("guess", [None, right(ToyModel()), wrong, half(ToyModel(), 2)])
    def test_each_candidate_obeys_its_own(self, guess: Guess | None) -> None:
        rig = Rig(speculator=eager(guess) if guess else None)
        guides = [Letters("xyz", "X", "0123456789"), None, Letters(*"only this")]
        _, reader = rig.submit("prompt", [drawn(1), drawn(2), GREEDY], 9, guide=lambda index: guides[index])
        rig.run()
        text = reader.text(0)
        assert text[0] in "xyz"
        assert text[1] == "X"
        assert text[2].isdigit()
        assert reader.text(1) == ToyModel().answer("prompt", 9, seed=2)
        assert reader.text(2) == "only this"
        # Behind its turns the first is free again, and goes on from what it said.
        assert text[3:].islower()
        rig.check_empty()

    @pytest.mark.parametrize("guess", [None, right(ToyModel()), wrong, half(ToyModel(), 2)])
    def test_it_hears_what_was_drawn_and_nothing_else(self, guess: Guess | None) -> None:
        rig = Rig(speculator=eager(guess) if guess else None)
        guides = [Letters("ab", "cd"), Letters()]
        _, reader = rig.submit("prompt", [drawn(1), GREEDY], 12, guide=lambda index: guides[index])
        rig.run()
        for index, guide in enumerate(guides):
            assert b"".join(piece for _, piece in guide.accepted).decode() == reader.text(index)
            # Once before every token.
            assert guide.asked == 12

    def test_the_end_is_not_told(self) -> None:
        rig = Rig(FakeBackend(model=ToyModel({"hi": "bye"})), speculator=eager(wrong))
        guide = Letters()
        rig.submit("hi", max_tokens=9, guide=lambda index: guide)
        rig.run()
        assert b"".join(piece for _, piece in guide.accepted) == b"bye"

    @pytest.mark.parametrize("ram", [0, 1 << 20])
    def test_it_is_kept_through_a_suspension(self, ram: int) -> None:
        backend = FakeBackend(sequences=2, cells=300)
        rig = Rig(
            backend, Limits(batch=64, headroom=4), KvStore(backend.fingerprint, ram, None), eager(wrong)
        )
        words = "said " * 20
        guides = [Letters(*words), Letters(*words.upper())]
        _, reader = rig.submit("p" * 130, [drawn(1), drawn(2)], 100, guide=lambda index: guides[index])
        rig.run()
        assert rig.core.status().suspensions > 0
        assert (reader.text(0), reader.text(1)) == (words, words.upper())
        rig.check_empty()

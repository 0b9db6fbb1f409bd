"""The engine step by step, on a toy model whose answer depends on every cell being right."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.errors import Reason
from services.inference_worker.backends.base import BackendFailure, Mask, Outcome, Slice, Undrawable
from services.inference_worker.engine.jobs import Ended, Finish, Output, Prefilled, Submission, job_of
from services.inference_worker.engine.scheduler import Limits
from tests.fakes.backend import GREEDY, FakeBackend, ToyModel
from tests.unit.inference_worker.engine.rig import CANCELLED, Reader, Rig, drawn


class TestOneRequest:
    def test_the_answer_is_the_models(self) -> None:
        rig = Rig()
        _, reader = rig.submit("hello", max_tokens=10)
        rig.run()
        assert reader.text() == ToyModel().answer("hello", 10)
        assert reader.finish() is Finish.LENGTH
        assert reader.ended == Ended(cached_tokens=0)
        rig.check_idle()

    def test_one_step_per_token_and_none_for_the_last(self) -> None:
        rig = Rig()
        rig.submit("hello", max_tokens=10)
        assert rig.run() == 10

    def test_the_end_token_is_counted_but_not_shown(self) -> None:
        rig = Rig(FakeBackend(model=ToyModel({"hi": "bye"})))
        _, reader = rig.submit("hi", max_tokens=100)
        rig.run()
        assert reader.text() == "bye"
        assert reader.finish() is Finish.STOP
        assert reader.generated()[-1].completion_tokens == 4
        assert reader.generated()[-1].logprob_sum == pytest.approx(-1.0)

    def test_an_answer_may_be_empty(self) -> None:
        rig = Rig(FakeBackend(model=ToyModel({"hi": ""})))
        _, reader = rig.submit("hi")
        rig.run()
        assert (reader.text(), reader.finish()) == ("", Finish.STOP)

    def test_a_stop_string_ends_it_within_the_step(self) -> None:
        rig = Rig(FakeBackend(model=ToyModel({"hi": "one two three"})))
        _, reader = rig.submit("hi", max_tokens=100, stops=("two",))
        assert rig.run() == len("one two")
        assert (reader.text(), reader.finish()) == ("one ", Finish.STOP)

    def test_text_held_for_a_stop_comes_out_when_the_limit_is_reached(self) -> None:
        rig = Rig(FakeBackend(model=ToyModel({"hi": "one two three"})))
        _, reader = rig.submit("hi", max_tokens=6, stops=("two",))
        rig.run()
        assert (reader.text(), reader.finish()) == ("one tw", Finish.LENGTH)

    def test_a_stop_completed_by_the_last_allowed_token_is_a_stop(self) -> None:
        rig = Rig(FakeBackend(model=ToyModel({"hi": "one two three"})))
        _, reader = rig.submit("hi", max_tokens=7, stops=("two",))
        rig.run()
        assert (reader.text(), reader.finish()) == ("one ", Finish.STOP)

    def test_a_long_prompt_is_fed_in_chunks_and_tells_of_it(self) -> None:
        rig = Rig(FakeBackend(batch=64))
        _, reader = rig.submit("p" * 150, max_tokens=2)
        rig.run()
        prefilled = [each for each in reader.outputs if isinstance(each, Prefilled)]
        assert prefilled == [Prefilled(64, 150), Prefilled(128, 150), Prefilled(150, 150)]
        assert reader.text() == ToyModel().answer("p" * 150, 2)


class TestCandidates:
    def test_the_prompt_is_computed_once_and_greedy_candidates_are_equal(self) -> None:
        rig = Rig()
        _, reader = rig.submit("a prompt of some length", [GREEDY] * 3, max_tokens=5)
        rig.run()
        expected = ToyModel().answer("a prompt of some length", 5)
        assert [reader.text(index) for index in range(3)] == [expected] * 3
        fed = sum(len(each.tokens) for batch in rig.backend.batches for each in batch)
        assert fed == len("a prompt of some length") + 3 * 4
        rig.check_idle()

    def test_candidates_decode_in_one_batch(self) -> None:
        rig = Rig()
        rig.submit("prompt", [drawn(1), drawn(2), drawn(3)], max_tokens=5)
        assert rig.run() == 5
        assert [len(batch) for batch in rig.backend.batches] == [1, 3, 3, 3, 3]

    def test_each_candidate_draws_with_its_seed(self) -> None:
        rig = Rig()
        _, reader = rig.submit("prompt", [drawn(1), drawn(2), drawn(1)], max_tokens=12)
        rig.run()
        model = ToyModel()
        assert [reader.text(index) for index in range(3)] == [
            model.answer("prompt", 12, seed) for seed in (1, 2, 1)
        ]
        assert reader.text(0) != reader.text(1)

    def test_a_finished_candidate_frees_its_cells_at_once(self) -> None:
        model = ToyModel({"hi": "go"})
        rig = Rig(FakeBackend(model=model))
        job, _ = rig.submit("hi", [GREEDY, GREEDY, GREEDY], max_tokens=100)
        rig.core.step()
        assert rig.core.status().cells_used == 2
        assert rig.core.status().sequences_busy == 3
        rig.core.settle(job, 2)
        assert rig.core.status().sequences_busy == 2
        rig.run()
        rig.check_idle()

    def test_more_candidates_than_sequences_take_turns(self) -> None:
        rig = Rig(FakeBackend(sequences=2))
        specs = [drawn(seed) for seed in range(5)]
        _, reader = rig.submit("prompt", specs, max_tokens=6)
        rig.run()
        model = ToyModel()
        for index in range(5):
            assert reader.text(index) == model.answer("prompt", 6, seed=index)
        # Later ones find the prompt in the leader's sequence.
        first = [each for batch in rig.backend.batches for each in batch if each.position == 0]
        assert len(first) == 1

    def test_settled_candidates_end_as_stopped(self) -> None:
        rig = Rig()
        job, reader = rig.submit("prompt", [GREEDY, GREEDY], max_tokens=50)
        for _ in range(3):
            rig.core.step()
        rig.core.settle(job, 0)
        rig.core.settle(job, 0)
        assert reader.finish(0) is Finish.STOP
        rig.run()
        assert reader.finish(1) is Finish.LENGTH
        assert reader.ended == Ended(0)
        rig.check_idle()


class TestManyRequests:
    def test_requests_do_not_mix(self) -> None:
        rig = Rig(FakeBackend(sequences=8, cells=4096))
        readers = [rig.submit(f"prompt number {index}", max_tokens=20)[1] for index in range(8)]
        rig.run()
        model = ToyModel()
        for index, reader in enumerate(readers):
            assert reader.text() == model.answer(f"prompt number {index}", 20)
        rig.check_idle()

    def test_who_finds_no_sequence_waits_in_order(self) -> None:
        rig = Rig(FakeBackend(sequences=1))
        submitted = [rig.submit(text, max_tokens=3) for text in ("first", "second", "third")]
        rig.core.step()
        assert [job.started for job, _ in submitted] == [True, False, False]
        assert [job.passed_over for job, _ in submitted] == [False, True, True]
        rig.run()
        assert [reader.text() for _, reader in submitted] == [
            ToyModel().answer(text, 3) for text in ("first", "second", "third")
        ]
        assert [job.order for job in rig.ended] == [0, 1, 2]

    def test_a_prefill_does_not_stop_a_stream(self) -> None:
        rig = Rig(FakeBackend(cells=4096, batch=64))
        _, stream = rig.submit("stream", max_tokens=40)
        rig.core.step()
        _, long = rig.submit("long" * 100, max_tokens=3)
        while long.ended is None:
            before = len(stream.generated())
            assert rig.core.step()
            assert len(stream.generated()) == min(40, before + 1)
        assert long.text() == ToyModel().answer("long" * 100, 3)

    def test_the_sink_is_called_once_per_step(self) -> None:
        calls: list[int] = []
        rig = Rig()
        reader = Reader()

        def sink(outputs: Sequence[Output]) -> bool:
            calls.append(len(outputs))
            return reader(outputs)

        submission = Submission(rig.backend.tokenize("prompt"), [GREEDY] * 3, sink, 4)
        rig.core.add(job_of(submission, 0, 4, 0.0), submission)
        assert rig.run() == len(calls) == 4
        # Prefilled and three tokens; three tokens twice; three tokens and Ended.
        assert calls == [4, 3, 3, 4]


class TestPrefixReuse:
    def test_the_next_turn_is_not_computed_again_and_answers_the_same(self) -> None:
        rig = Rig()
        _, first = rig.submit("system. question", max_tokens=4)
        rig.run()
        second = "system. question" + first.text() + " next question"
        _, reader = rig.submit(second, max_tokens=6)
        rig.run()
        assert reader.text() == ToyModel().answer(second, 6)
        # All but the last token of the answer was in the cache.
        assert reader.ended == Ended(cached_tokens=len("system. question") + 3)
        status = rig.core.status()
        assert status.cached_tokens == len("system. question") + 3
        assert status.prompt_tokens == len("system. question") + len(second)
        assert status.generated_tokens == 10

    def test_a_side_request_does_not_evict_the_conversation(self) -> None:
        rig = Rig()
        rig.submit("system. a conversation of some length", max_tokens=4)
        rig.run()
        rig.submit("title please", max_tokens=4)
        rig.run()
        _, reader = rig.submit("system. a conversation of some length, next", max_tokens=4)
        rig.run()
        assert reader.ended is not None
        assert reader.ended.cached_tokens == len("system. a conversation of some length")


class TestShortage:
    def test_whoever_is_sent_away_goes_on_where_it_was(self) -> None:
        # Two answers of 60 tokens do not fit beside each other.
        rig = Rig(FakeBackend(sequences=4, cells=100))
        first = rig.submit("first", [drawn(1)], max_tokens=60)[1]
        second = rig.submit("second", [drawn(2)], max_tokens=60)[1]
        rig.run()
        model = ToyModel()
        assert first.text() == model.answer("first", 60, seed=1)
        assert second.text() == model.answer("second", 60, seed=2)
        rig.check_idle()
        # The older one was never interrupted: it was done when the younger one came back.
        assert [job.order for job in rig.ended] == [0, 1]

    def test_siblings_that_do_not_fit_take_turns(self) -> None:
        rig = Rig(FakeBackend(sequences=4, cells=64))
        _, reader = rig.submit("0123456789", [drawn(seed) for seed in range(3)], max_tokens=54)
        rig.run()
        for index in range(3):
            assert reader.text(index) == ToyModel().answer("0123456789", 54, seed=index)
            assert reader.finish(index) is Finish.LENGTH
        rig.check_idle()

    def test_idle_prefixes_make_room_first(self) -> None:
        rig = Rig(FakeBackend(sequences=4, cells=100))
        rig.submit("x" * 60, max_tokens=2)
        rig.run()
        _, reader = rig.submit("y" * 60, max_tokens=20)
        rig.run()
        assert reader.text() == ToyModel().answer("y" * 60, 20)

    def test_cells_that_a_prompt_will_need_are_not_given_away(self) -> None:
        rig = Rig(FakeBackend(sequences=4, cells=200, batch=32))
        rig.submit("x" * 150, max_tokens=4)
        rig.core.step()
        job, reader = rig.submit("y" * 100, max_tokens=4)
        rig.core.step()
        assert not job.started
        rig.run()
        assert reader.text() == ToyModel().answer("y" * 100, 4)
        # Nobody was let in only to be sent away again.
        assert sum(each.position == 0 for batch in rig.backend.batches for each in batch) == 2

    def test_no_room_in_spite_of_the_books_is_survived(self) -> None:
        rig = Rig()
        rig.submit("idle prefix", max_tokens=2)
        rig.run()
        _, reader = rig.submit("prompt", [drawn(1), drawn(2)], max_tokens=5)
        rig.core.step()
        # First the idle prefix goes, then the younger candidate, which comes back.
        rig.backend.outcomes = [Outcome.NO_ROOM, Outcome.NO_ROOM]
        rig.run()
        assert [reader.text(0), reader.text(1)] == [
            ToyModel().answer("prompt", 5, 1), ToyModel().answer("prompt", 5, 2)
        ]  # fmt: skip
        rig.check_idle()

    def test_no_room_for_the_only_candidate_ends_it_as_cut_off(self) -> None:
        rig = Rig()
        _, reader = rig.submit("prompt", max_tokens=50)
        rig.core.step()
        rig.backend.outcomes = [Outcome.NO_ROOM]
        rig.run()
        assert reader.finish() is Finish.LENGTH
        assert reader.text() == ToyModel().answer("prompt", 1)
        rig.check_idle()

    def test_no_room_for_a_prompt_alone_is_an_error(self) -> None:
        rig = Rig()
        _, reader = rig.submit("prompt")
        rig.backend.outcomes = [Outcome.NO_ROOM]
        rig.run()
        assert reader.ended is not None
        assert reader.ended.error is not None
        assert reader.ended.error.reason is Reason.INTERNAL

    @settings(max_examples=60, deadline=None)
    @given(
        requests=st.lists(
            st.tuples(st.integers(1, 40), st.integers(1, 3), st.integers(1, 40)), min_size=1, max_size=8
        ),
        sequences=st.integers(1, 6),
        cells=st.integers(80, 200),
        partial_prefix=st.booleans(),
        late=st.integers(0, 30),
    )
    def test_everything_ends_and_is_right_whatever_the_shortage(
        self,
        requests: list[tuple[int, int, int]],
        sequences: int,
        cells: int,
        partial_prefix: bool,
        late: int,
    ) -> None:
        """Every request alone fits the cells; nothing may dead-lock, mix or get lost."""
        rig = Rig(FakeBackend(sequences, cells, batch=32, partial_prefix=partial_prefix))
        readers = []
        for number, (length, width, tokens) in enumerate(requests):
            prompt = ("shared prefix " + f"{number} " * 40)[:length]
            specs = [drawn(seed) for seed in range(width)]
            readers.append((prompt, width, tokens, rig.submit(prompt, specs, tokens)[1]))
            for _ in range(late):
                rig.core.step()
        rig.run(most=20_000)
        model = ToyModel()
        for prompt, width, tokens, reader in readers:
            for index in range(width):
                assert reader.text(index) == model.answer(prompt, tokens, seed=index)
            assert reader.ended is not None
            assert reader.ended.error is None
        rig.check_idle()


class TestCancelling:
    @pytest.mark.parametrize("steps", [0, 1, 2, 5])
    def test_everything_is_free_at_once(self, steps: int) -> None:
        rig = Rig(FakeBackend(batch=32))
        job, reader = rig.submit("prompt" * 10, [GREEDY] * 3, max_tokens=50)
        for _ in range(steps):
            rig.core.step()
        rig.core.cancel(job, CANCELLED)
        assert reader.ended is not None
        assert reader.ended.error is CANCELLED
        rig.check_idle()
        assert not rig.core.step()
        rig.core.cancel(job, CANCELLED)

    def test_only_the_leaders_tokens_stay_when_siblings_were_waiting(self) -> None:
        rig = Rig(FakeBackend(sequences=3))
        job, _ = rig.submit("prompt", [GREEDY] * 5, max_tokens=50)
        for _ in range(4):
            rig.core.step()
        rig.core.cancel(job, CANCELLED)
        assert [bool(rig.backend.held(sequence)) for sequence in range(3)] == [True, False, False]

    def test_others_go_on_undisturbed(self) -> None:
        rig = Rig()
        job, _ = rig.submit("to be cancelled", [GREEDY] * 2, max_tokens=50)
        _, other = rig.submit("to be kept", max_tokens=20)
        for _ in range(4):
            rig.core.step()
        rig.core.cancel(job, CANCELLED)
        rig.run()
        assert other.text() == ToyModel().answer("to be kept", 20)

    def test_a_reader_that_does_not_keep_up_loses_its_request(self) -> None:
        rig = Rig()
        _, slow = rig.submit("slow", max_tokens=50)
        _, other = rig.submit("other", max_tokens=10)
        rig.core.step()
        slow.keeps_up = False
        rig.run()
        assert slow.ended is not None
        assert slow.ended.error is not None
        assert slow.ended.error.reason is Reason.CANCELLED
        assert other.text() == ToyModel().answer("other", 10)
        rig.check_idle()

    def test_a_sink_that_raises_loses_its_request_only(self) -> None:
        rig = Rig()

        def broken(outputs: Sequence[Output]) -> bool:
            raise RuntimeError("gone")

        submission = Submission(rig.backend.tokenize("bad"), [GREEDY], broken, 5)
        rig.core.add(job_of(submission, 100, 5, 0.0), submission)
        _, other = rig.submit("other", max_tokens=10)
        rig.run()
        assert other.text() == ToyModel().answer("other", 10)
        rig.check_idle()


class TestDecodesThatFail:
    @pytest.mark.parametrize("partial_prefix", [True, False])
    def test_an_interrupted_step_is_undone_and_repeated(self, partial_prefix: bool) -> None:
        rig = Rig(FakeBackend(partial_prefix=partial_prefix, batch=32))
        _, first = rig.submit("first", [drawn(1), drawn(2)], max_tokens=10)
        rig.core.step()
        _, second = rig.submit("second" * 10, max_tokens=5)
        rig.backend.interrupt(True)
        rig.core.step()
        rig.backend.interrupt(False)
        rig.run()
        model = ToyModel()
        assert [first.text(0), first.text(1)] == [model.answer("first", 10, 1), model.answer("first", 10, 2)]
        assert second.text() == model.answer("second" * 10, 5)
        rig.check_idle()

    def test_a_rejected_batch_fails_its_requests_and_the_next_one_works(self) -> None:
        rig = Rig()
        _, reader = rig.submit("prompt", [GREEDY] * 2, max_tokens=5)
        rig.core.step()
        rig.backend.outcomes = [Outcome.REJECTED]
        rig.run()
        assert reader.ended is not None
        assert reader.ended.error is not None
        assert reader.ended.error.reason is Reason.INTERNAL
        _, again = rig.submit("prompt", max_tokens=5)
        rig.run()
        assert again.text() == ToyModel().answer("prompt", 5)
        assert again.ended == Ended(cached_tokens=0)

    def test_rejections_in_a_row_are_the_backends_end(self) -> None:
        rig = Rig()
        rig.backend.outcomes = [Outcome.REJECTED] * 3
        for _ in range(2):
            rig.submit("prompt")
            rig.core.step()
        rig.submit("prompt")
        with pytest.raises(BackendFailure):
            rig.core.step()


class Poisoned(ToyModel):
    """Gives no usable numbers where the text says poison."""

    def next(self, tokens: Sequence[int], random: Random | None = None, mask: Mask | None = None) -> int:
        if b"poison" in bytes(token for token in tokens if token < 256):
            raise Undrawable("the logits of row 0 are no finite numbers")
        return super().next(tokens, random, mask)


def test_numbers_that_are_none_end_their_request_and_no_other() -> None:
    rig = Rig(FakeBackend(sequences=6, model=Poisoned()))
    _, healthy = rig.submit("well", max_tokens=10)
    rig.step(2)
    _, spoiled = rig.submit("poison in here", [GREEDY, drawn(1), drawn(2)], max_tokens=10)
    rig.run()
    assert spoiled.ended is not None
    assert spoiled.ended.error is not None
    assert spoiled.ended.error.reason is Reason.INTERNAL
    assert healthy.text() == ToyModel().answer("well", 10)
    # Nothing of it is kept: its state may be what is wrong.
    _, again = rig.submit("poison in here", max_tokens=2)
    rig.run()
    assert again.ended is not None
    assert again.ended.cached_tokens == 0
    rig.check_idle()


class TestPace:
    """Tokens are handed over at a pace, so that fast streams do not cost a message each."""

    @staticmethod
    def paced(tick: float, pace: float, bundle: int) -> tuple[Rig, Reader, list[int]]:
        rig = Rig(limits=Limits(batch=64, headroom=4, pace=pace, bundle=bundle), tick=tick, paced=True)
        sizes: list[int] = []
        _, reader = rig.submit("hello", max_tokens=40)
        told = 0
        while rig.step():
            if len(reader.generated()) > told:
                sizes.append(len(reader.generated()) - told)
                told += sizes[-1]
        return rig, reader, sizes

    def test_the_first_token_is_told_at_once_and_others_several_at_a_time(self) -> None:
        _, reader, sizes = self.paced(0.01, pace=0.03, bundle=100)
        assert sizes[0] == 1
        assert set(sizes[1:-1]) <= {3, 4}
        assert reader.text() == ToyModel().answer("hello", 40)
        assert reader.ended is not None

    def test_slow_streams_are_told_every_token(self) -> None:
        assert set(self.paced(0.05, pace=0.03, bundle=100)[2]) == {1}

    def test_a_bundle_is_told_whatever_the_time(self) -> None:
        sizes = self.paced(0.0001, pace=10.0, bundle=8)[2]
        assert sizes[0] == 1
        assert set(sizes[1:-1]) == {8}

    def test_a_prompts_progress_is_told_now_and_then_and_its_first_token_at_once(self) -> None:
        limits = Limits(batch=64, headroom=4, pace=0.03, progress=0.5)
        rig = Rig(FakeBackend(cells=4096), limits, tick=0.1, paced=True)
        _, reader = rig.submit("long" * 500, max_tokens=3)
        told = []
        while not reader.generated():
            before = len(reader.outputs)
            rig.step()
            told.append(len(reader.outputs) - before)
        # 32 steps of 64 tokens: the first is told at once, then one in half a second.
        assert told[0] == 1
        assert 6 <= sum(told[:-1]) <= 7
        progress = [each for each in reader.outputs if isinstance(each, Prefilled)]
        assert [each.done for each in progress] == sorted({each.done for each in progress})
        assert progress[-1].done == 2000


class TestPromptsApart:
    """With `chunk`, prompts have steps of their own."""

    def test_no_decode_holds_both_and_all_say_what_they_say_alone(self) -> None:
        rig = Rig(FakeBackend(sequences=6, cells=4096, chunk=32), Limits(batch=64, headroom=4, chunk=32))
        readers = []
        for number in range(5):
            prompt = f"request {number} " * (3 + 20 * (number % 2))
            readers.append((prompt, rig.submit(prompt, max_tokens=12)[1]))
            rig.step(3)
        rig.run()
        for prompt, reader in readers:
            assert reader.text() == ToyModel().answer(prompt, 12)
        for batch in rig.backend.batches:
            # A stream's slice yields logits for its one token; a prompt's last token comes with others.
            prompts = [each for each in batch if len(each.tokens) > 1]
            assert not prompts or sum(len(each.tokens) for each in batch) <= 32
        assert any(
            len(batch) > 1 and all(len(each.tokens) == 1 for each in batch) for batch in rig.backend.batches
        )
        rig.check_idle()

    def test_streams_get_their_turn_beside_prompts_without_end(self) -> None:
        rig = Rig(
            FakeBackend(sequences=6, cells=8192, chunk=32), Limits(batch=64, headroom=4, chunk=32), tick=0.01
        )
        _, stream = rig.submit("stream", max_tokens=60)
        rig.step(4)
        for number in range(4):
            rig.submit(f"{number}" * 900, max_tokens=1)
        said = [len(stream.generated())]
        for _ in range(60):
            rig.step(3)
            said.append(len(stream.generated()))
        # Two steps of prompts at most, then one of the stream's.
        assert all(after > before for before, after in pairwise(said) if before < 60)
        rig.run()

    def test_a_cancelled_prompt_does_not_interrupt_the_streams(self) -> None:
        rig = Rig(FakeBackend(sequences=6, cells=8192, chunk=32), Limits(batch=64, headroom=4, chunk=32))
        _, stream = rig.submit("stream", max_tokens=20)
        rig.step(4)
        job, reader = rig.submit("x" * 900, max_tokens=1)
        rig.step(3)
        rig.core.cancel(job, CANCELLED)
        rig.run()
        assert reader.ended is not None
        assert stream.text() == ToyModel().answer("stream", 20)
        rig.check_idle()


class TestCalibration:
    """What steps cost is measured before the first request."""

    def test_several_widths_are_tried_and_leave_nothing(self) -> None:
        rig = Rig(FakeBackend(sequences=4, outputs=40, cells=512))
        rig.core.calibrate(seconds=1.0)
        widths = [sum(len(each.tokens) for each in batch) for batch in rig.backend.batches]
        assert set(widths) == {1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 32}
        assert rig.backend.cells_used == 0
        rig.check_idle()
        _, reader = rig.submit("hello", max_tokens=5)
        rig.run()
        assert reader.text() == ToyModel().answer("hello", 5)

    def test_it_takes_no_longer_than_it_may(self) -> None:
        rig = Rig(FakeBackend(sequences=4, outputs=40))

        def slow(slices: Sequence[Slice]) -> None:
            rig.now += 0.4

        rig.backend.before_decode = slow
        rig.core.calibrate(seconds=1.0)
        assert len(rig.backend.batches) == 3  # the third was begun in time

"""Candidates that go on with tokens from elsewhere, beside all else that can happen to them."""

from __future__ import annotations

from services.inference_worker.backends.base import Sampled
from services.inference_worker.engine.jobs import Finish
from tests.fakes.backend import END, GREEDY, FakeBackend, ToyModel
from tests.unit.inference_worker.engine.rig import CANCELLED, Rig, drawn


def tokens(text: str) -> list[Sampled]:
    return [Sampled(token, -0.25) for token in text.encode()]


def test_it_costs_one_prefill_of_the_prompt_and_one_of_the_answer_so_far() -> None:
    rig = Rig()
    whole = ToyModel().answer("hello", 20)
    _, reader = rig.submit("hello", max_tokens=20, drawn=[tokens(whole[:15])])
    rig.run()
    assert reader.text() == whole
    assert [len(batch[0].tokens) for batch in rig.backend.batches] == [5, 15, 1, 1, 1, 1]
    assert reader.generated()[-1].completion_tokens == 20
    # What others have drawn was not generated here.
    assert rig.core.status().generated_tokens == 5
    rig.check_idle()


def test_those_who_run_are_not_disturbed_and_cells_may_be_short() -> None:
    rig = Rig(FakeBackend(sequences=3, cells=48, batch=16))
    answers = [ToyModel().answer(prompt, 30) for prompt in ("one", "two", "three")]
    readers = [
        rig.submit(prompt, max_tokens=30, drawn=[tokens(answer[:place])])[1]
        for prompt, answer, place in zip(("one", "two", "three"), answers, (0, 12, 20), strict=True)
    ]
    rig.run()
    assert [reader.text() for reader in readers] == answers
    assert rig.core.status().suspensions > 0
    rig.check_idle()


def test_one_that_had_ended_elsewhere_ends_as_soon_as_it_is_told() -> None:
    rig = Rig(FakeBackend(model=ToyModel({"hi": "bye"})))
    ended = [*tokens("bye"), Sampled(END, -0.25)]
    _, reader = rig.submit("hi", [GREEDY, GREEDY], max_tokens=9, drawn=[ended, tokens("by")])
    rig.run()
    for candidate in (0, 1):
        assert (reader.text(candidate), reader.finish(candidate)) == ("bye", Finish.STOP)
        assert reader.generated(candidate)[-1].completion_tokens == 4
    rig.check_idle()


def test_more_than_it_may_say_is_cut_off() -> None:
    rig = Rig()
    _, reader = rig.submit("hello", max_tokens=3, drawn=[tokens("abcdef")])
    rig.run()
    assert (reader.text(), reader.finish()) == ("abc", Finish.LENGTH)


def test_it_may_be_cancelled_before_anything_was_told() -> None:
    rig = Rig()
    job, reader = rig.submit("p" * 200, [drawn(1)] * 2, drawn=[tokens("ab"), tokens("cd")])
    rig.step()
    rig.core.cancel(job, CANCELLED)
    assert reader.ended is not None
    assert reader.ended.error == CANCELLED
    rig.run()
    rig.check_idle()

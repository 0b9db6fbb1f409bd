"""The lowest windowed mean over the tokens of a candidate's calls."""

from __future__ import annotations

import pytest

from services.common.chat import ChatEvent, ContentDelta, ToolCallArguments, ToolCallEnded, ToolCallStarted
from services.inference_worker.argument_logprobs import WINDOW, ArgumentLogprobs

BEGUN, PIECE, ENDED = ToolCallStarted(0, 0, "c", "bash"), ToolCallArguments(0, 0, "{"), ToolCallEnded(0, 0)


def least(*tokens: tuple[float, list[ChatEvent]]) -> float | None:
    counted = ArgumentLogprobs()
    for logprob, events in tokens:
        counted.add(logprob, events)
    return counted.least()


def test_without_calls_there_is_none() -> None:
    assert least((-5.0, [ContentDelta(0, "Hi")]), (-9.0, [])) is None


def test_a_short_call_is_taken_whole_and_its_name_and_the_prose_do_not_count() -> None:
    assert least(
        (-50.0, [ContentDelta(0, "Hi")]),
        (-50.0, [BEGUN]),
        (-1.0, [PIECE]),
        (-2.0, []),
        (-3.0, [PIECE, ENDED]),
        (-50.0, []),
    ) == pytest.approx(-2.0)


def test_a_long_call_by_its_worst_stretch() -> None:
    sure = [(-0.1, [PIECE])] * 40
    unsure = [(-4.0, [PIECE])] * 8
    found = least((0.0, [BEGUN]), *sure, *unsure, *sure, (0.0, [ENDED]))
    assert found == pytest.approx((8 * -4.0 + 8 * -0.1) / WINDOW)


def test_of_several_calls_the_worst_counts_and_windows_do_not_span_them() -> None:
    one = [(0.0, [BEGUN]), (-1.0, [PIECE]), (-1.0, [ENDED])]
    two = [(0.0, [BEGUN]), (-3.0, [PIECE]), (-3.0, [ENDED])]
    assert least(*one, *two) == least(*two, *one) == pytest.approx(-3.0)


def test_a_call_within_one_token_counts_by_it() -> None:
    assert least((-7.0, [BEGUN, PIECE, ENDED])) == pytest.approx(-7.0)


def test_a_call_that_is_cut_off_counts_as_far_as_it_came() -> None:
    assert least((0.0, [BEGUN]), (-2.0, [PIECE])) == pytest.approx(-2.0)

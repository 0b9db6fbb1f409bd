"""What is said after the vote, given what was said before it."""

from __future__ import annotations

from services.common.chat import (
    CandidateFinished,
    ContentDelta,
    FinishReason,
    TokenLogprob,
    TokenLogprobs,
    ToolCallArguments,
    ToolCallEnded,
    ToolCallStarted,
)
from services.consensus.drafts import Draft
from services.consensus.emission import closing, closing_words
from services.consensus.strategies.base import Kind


def draft(candidate: int, text: str = "", tokens: int = 5, call: bool = False, cut: bool = False) -> Draft:
    found = Draft(candidate, "Zeus")
    if text:
        found.add(ContentDelta(candidate, text))
    if call:
        found.add(ToolCallStarted(candidate, 3, "id", "bash"))
        found.add(ToolCallArguments(candidate, 3, "{}"))
        found.add(ToolCallEnded(candidate, 3))
    reason = FinishReason.LENGTH if cut else FinishReason.TOOL_CALLS if call else FinishReason.STOP
    found.add(CandidateFinished(candidate, reason, tokens, 2, -1.0))
    return found


CALL = [ToolCallStarted(0, 0, "id", "bash"), ToolCallArguments(0, 0, "{}"), ToolCallEnded(0, 0)]


def test_the_leader_that_wins_with_a_call_adds_it_to_its_prose() -> None:
    leader = draft(0, "I look.", call=True)
    assert list(closing(Kind.CALLS, leader, leader)) == [
        *CALL,
        CandidateFinished(0, FinishReason.TOOL_CALLS, 5, 2, -1.0),
    ]


def test_anothers_call_comes_without_its_prose_after_the_leaders() -> None:
    said = list(closing(Kind.CALLS, draft(2, "Other.", 7, call=True), draft(0, "Mine.")))
    assert said == [*CALL, CandidateFinished(0, FinishReason.TOOL_CALLS, 12, 4, -2.0)]


def test_anothers_call_comes_with_its_prose_when_nothing_was_said() -> None:
    said = list(closing(Kind.CALLS, draft(2, "Other.", 7, call=True), None))
    assert said == [
        ContentDelta(0, "Other."),
        *CALL,
        CandidateFinished(0, FinishReason.TOOL_CALLS, 7, 2, -1.0),
    ]


def test_the_log_probabilities_are_those_of_the_words_that_are_given() -> None:
    speaker = draft(2)
    speaker.add(TokenLogprobs(2, (TokenLogprob(b"Ot", -1.0),)))
    speaker.add(ContentDelta(2, "Ot"))
    speaker.add(TokenLogprobs(2, (TokenLogprob(b"her", -2.0),)))
    speaker.add(ContentDelta(2, "her"))
    said = list(closing(Kind.WORDS, speaker, draft(0, "Mine.")))
    assert said[:2] == [
        TokenLogprobs(0, (TokenLogprob(b"Ot", -1.0), TokenLogprob(b"her", -2.0))),
        ContentDelta(0, "\n\nOther"),
    ]
    assert not any(isinstance(event, TokenLogprobs) for event in closing(Kind.WORDS, speaker, speaker))


def test_anothers_words_are_a_paragraph_of_their_own() -> None:
    said = list(closing(Kind.WORDS, draft(2, "Other."), draft(0, "Mine.", call=True)))
    assert said[0] == ContentDelta(0, "\n\nOther.")
    assert said[-1] == CandidateFinished(0, FinishReason.STOP, 10, 4, -2.0)


def test_the_leaders_words_are_not_said_twice() -> None:
    leader = draft(0, "Mine.", cut=True)
    assert list(closing(Kind.WORDS, leader, leader)) == [
        CandidateFinished(0, FinishReason.LENGTH, 5, 2, -1.0)
    ]


def test_a_cut_off_call_is_not_said() -> None:
    said = list(closing(Kind.CUT_OFF, draft(1, "I", call=True, cut=True), None))
    assert said == [ContentDelta(0, "I"), CandidateFinished(0, FinishReason.LENGTH, 5, 2, -1.0)]


def test_the_swarms_own_words_cost_no_tokens() -> None:
    assert list(closing_words("No.", None)) == [
        ContentDelta(0, "No."),
        CandidateFinished(0, FinishReason.STOP, 0, 0, 0),
    ]
    said = list(closing_words("No.", draft(0, "Mine.")))
    assert said == [ContentDelta(0, "\n\nNo."), CandidateFinished(0, FinishReason.STOP, 5, 2, -1.0)]

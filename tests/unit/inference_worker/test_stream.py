"""Pieces of text that wait together go out together."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from services.common.chat import (
    CandidateFinished,
    ChatEvent,
    ContentDelta,
    FinishReason,
    PrefillProgress,
    ReasoningDelta,
    ToolCallArguments,
    ToolCallEnded,
    ToolCallStarted,
)
from services.inference_worker.stream import merged


def test_neighbours_are_joined_per_candidate() -> None:
    events: list[ChatEvent] = [
        ContentDelta(0, "a"),
        ContentDelta(1, "x"),
        ContentDelta(0, "b"),
        ContentDelta(1, "y"),
    ]
    assert merged(events) == [ContentDelta(0, "ab"), ContentDelta(1, "xy")]


def test_kinds_calls_and_ends_are_borders() -> None:
    finished = CandidateFinished(0, FinishReason.TOOL_CALLS, 9)
    events: list[ChatEvent] = [
        ReasoningDelta(0, "r"),
        ContentDelta(0, "c"),
        ToolCallStarted(0, 0, "call_1", "read"),
        ToolCallArguments(0, 0, "{"),
        ToolCallArguments(0, 0, "}"),
        ToolCallEnded(0, 0),
        ToolCallStarted(0, 1, "call_2", "read"),
        ToolCallArguments(0, 1, "{}"),
        ToolCallEnded(0, 1),
        finished,
    ]
    assert merged(events) == [*events[:3], ToolCallArguments(0, 0, "{}"), *events[5:]]


def test_other_events_stay() -> None:
    events: list[ChatEvent] = [PrefillProgress(1, 2), ContentDelta(0, "a"), PrefillProgress(2, 2)]
    assert merged(events) == events


PIECES = st.one_of(
    st.builds(ContentDelta, st.integers(0, 2), st.sampled_from("ab")),
    st.builds(ReasoningDelta, st.integers(0, 2), st.sampled_from("cd")),
    st.builds(ToolCallArguments, st.integers(0, 2), st.integers(0, 1), st.sampled_from("ef")),
    st.builds(ToolCallEnded, st.integers(0, 2), st.integers(0, 1)),
)


@given(events=st.lists(PIECES, max_size=30))
def test_every_candidate_says_the_same_in_the_same_order(events: list[ChatEvent]) -> None:
    def said(events: list[ChatEvent]) -> dict[int, str]:
        texts: defaultdict[int, str] = defaultdict(str)
        for event in events:
            match event:
                case ContentDelta(candidate, text) | ReasoningDelta(candidate, text):
                    texts[candidate] += text
                case ToolCallArguments(candidate, index, text):
                    texts[candidate] += text + str(index)
                case ToolCallEnded(candidate, index):
                    texts[candidate] += f"|{index}"
        return {candidate: text.replace("0", "").replace("1", "") for candidate, text in texts.items()}

    assert said(merged(events)) == said(events)
    assert len(merged(events)) <= len(events)

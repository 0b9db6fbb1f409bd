"""Which tokens are told: those whose text became content, through whatever holds text back."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from services.common.chat import (
    ChatEvent,
    ContentDelta,
    ReasoningDelta,
    TokenLogprobs,
    ToolCallArguments,
    ToolCallEnded,
    ToolCallStarted,
)
from services.inference_worker.backends.base import Sampled
from services.inference_worker.logprobs import ContentLogprobs

Step = tuple[bytes, Sequence[ChatEvent]]


def said(text: str) -> ContentDelta:
    return ContentDelta(2, text)


def thought(text: str) -> ReasoningDelta:
    return ReasoningDelta(2, text)


def run(*steps: Step) -> list[ChatEvent]:
    """Each token is its place in the steps; its piece is what the step says."""
    logprobs = ContentLogprobs(2, lambda token: steps[token][0] if token < 100 else b"~")
    woven: list[ChatEvent] = []
    for token, (_, events) in enumerate(steps):
        woven += logprobs.weave(Sampled(token, -float(token), ((token, -float(token)), (100, -9.0))), events)
    return woven


def told(events: Sequence[ChatEvent]) -> list[list[bytes]]:
    return [[each.token for each in event.tokens] for event in events if isinstance(event, TokenLogprobs)]


def test_each_token_comes_before_its_text() -> None:
    events = run((b"Hel", [said("Hel")]), (b"lo", [said("lo")]))
    assert [type(event) for event in events] == [TokenLogprobs, ContentDelta] * 2
    first, _, second, _ = events
    assert isinstance(first, TokenLogprobs)
    assert isinstance(second, TokenLogprobs)
    assert first.candidate == 2
    (token,) = second.tokens
    assert (token.token, token.logprob) == (b"lo", -1.0)
    assert [(other.token, other.logprob) for other in token.top] == [(b"lo", -1.0), (b"~", -9.0)]


def test_a_character_in_two_tokens_is_told_with_both() -> None:
    assert told(run((b"caf\xc3", [said("caf")]), (b"\xa9!", [said("é!")]))) == [[b"caf\xc3"], [b"\xa9!"]]
    assert told(run((b"\xf0\x9f", []), (b"\x99\x82", [said("🙂")]))) == [[b"\xf0\x9f", b"\x99\x82"]]


def test_bytes_that_are_no_text_are_told_with_what_stands_for_them() -> None:
    assert told(run((b"\xff", []), (b"a", [said("\ufffda")]))) == [[b"\xff", b"a"]]


def test_markup_and_reasoning_are_not_told() -> None:
    events = run(
        (b"<think>", []),
        (b"hm", [thought("hm")]),
        (b"</think>", []),
        (b"\n\n", []),
        (b"t", [said("t")]),
        (b"o", [said("o")]),
        (b"", []),
    )
    assert told(events) == [[b"t"], [b"o"]]


def test_what_was_held_back_is_told_when_it_comes() -> None:
    events = run((b"a ", [said("a ")]), (b"<to", []), (b"day", [said("<today")]), (b".", [said(".")]))
    assert told(events) == [[b"a "], [b"<to", b"day"], [b"."]]


def test_a_token_that_is_partly_text_is_told_once() -> None:
    assert told(run((b"a<", [said("a")]), (b"b", [said("<b")]))) == [[b"a<"], [b"b"]]
    mixed = run((b"a</think>b", [thought("a"), said("b")]), (b"c", [said("c")]))
    assert told(mixed) == [[b"a</think>b"], [b"c"]]


@pytest.mark.parametrize(
    "ending", [ToolCallEnded(2, 0), ToolCallArguments(2, 0, "{}"), ToolCallStarted(2, 0, "c", "bash")]
)
def test_calls_are_not_told(ending: ChatEvent) -> None:
    events = run(
        (b"I look.", [said("I look.")]), (b"<call>look", []), (b"</call>", [ending]), (b"lo", [said("lo")])
    )
    assert told(events) == [[b"I look."], [b"lo"]]


def test_what_comes_after_the_last_token_still_finds_its_tokens() -> None:
    logprobs = ContentLogprobs(0, lambda token: b"<tool")
    assert logprobs.weave(Sampled(1, -1.0), []) == []
    assert told(logprobs.weave(None, [ContentDelta(0, "<tool")])) == [[b"<tool"]]


def test_text_without_tokens_is_told_without_them() -> None:
    assert ContentLogprobs(0, lambda token: b"").weave(None, [ContentDelta(0, "x")]) == [ContentDelta(0, "x")]

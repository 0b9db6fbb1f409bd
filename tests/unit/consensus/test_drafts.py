"""What a candidate's events amount to as a vote."""

from __future__ import annotations

import pytest

from services.common.chat import (
    CandidateFinished,
    ContentDelta,
    FinishReason,
    ReasoningDelta,
    TokenLogprob,
    TokenLogprobs,
    Tool,
    ToolCall,
    ToolCallArguments,
    ToolCallEnded,
    ToolCallStarted,
)
from services.consensus.canonical import Toolbox
from services.consensus.drafts import WINDOW, CandidateEvent, Draft
from services.consensus.strategies.base import Kind, Vote
from services.consensus.strategies.risk import Risk
from services.consensus.terms import Terms

TOOLS = Toolbox([Tool("bash", "", '{"required": ["command"]}')])
CALL: list[CandidateEvent] = [
    ToolCallStarted(0, 0, "c", "bash"),
    ToolCallArguments(0, 0, '{"command"'),
    ToolCallArguments(0, 0, ': "ls"}'),
    ToolCallEnded(0, 0),
]


def end(reason: FinishReason, tokens: int = 4, logprob: float = -2.0) -> CandidateFinished:
    return CandidateFinished(0, reason, tokens, 1, logprob)


def draft(*events: CandidateEvent) -> Draft:
    found = Draft(0, "Zeus")
    for event in events:
        found.add(event)
    return found


@pytest.mark.parametrize(
    ("events", "kind"),
    [
        ([ContentDelta(0, "Hi"), end(FinishReason.STOP)], Kind.WORDS),
        ([end(FinishReason.STOP)], Kind.WORDS),
        ([ContentDelta(0, "Hi"), end(FinishReason.LENGTH)], Kind.WORDS),
        ([*CALL, end(FinishReason.TOOL_CALLS)], Kind.CALLS),
        ([*CALL, end(FinishReason.STOP)], Kind.CALLS),
        ([*CALL, end(FinishReason.LENGTH)], Kind.CUT_OFF),
        ([*CALL[:2], end(FinishReason.LENGTH)], Kind.CUT_OFF),
        ([*CALL[:3], end(FinishReason.STOP)], Kind.INVALID),
        ([*CALL, ToolCallStarted(0, 1, "d", "bash"), end(FinishReason.TOOL_CALLS)], Kind.INVALID),
        ([CALL[0], CALL[3], end(FinishReason.TOOL_CALLS)], Kind.INVALID),
        ([*CALL], Kind.LOST),
        ([], Kind.LOST),
    ],
)
def test_kinds(events: list[CandidateEvent], kind: Kind) -> None:
    found = draft(*events)
    vote = found.vote(TOOLS)
    assert vote.kind is kind
    complete = any(isinstance(event, ToolCallStarted) for event in events) and found.whole
    assert bool(vote.key) == complete


def test_calls_are_put_together_in_the_order_of_their_indexes() -> None:
    found = draft(
        ToolCallStarted(0, 1, "b", "two"),
        ToolCallStarted(0, 0, "a", "one"),
        ToolCallArguments(0, 1, "{"),
        ToolCallArguments(0, 0, "[1"),
        ToolCallArguments(0, 1, "}"),
        ToolCallArguments(0, 0, "]"),
        ToolCallArguments(0, 7, "of a call that never began"),
        ToolCallEnded(0, 7),
        ToolCallEnded(0, 0),
        ToolCallEnded(0, 1),
    )
    assert found.calls == (ToolCall("a", "one", "[1]"), ToolCall("b", "two", "{}"))


def test_tokens_are_the_workers_count_or_else_the_pieces_that_came() -> None:
    pieces: list[CandidateEvent] = [ReasoningDelta(0, "hm"), ContentDelta(0, "a"), ContentDelta(0, "b")]
    assert draft(*pieces).tokens == 3
    assert draft(*pieces, end(FinishReason.STOP, tokens=9)).tokens == 9


def test_the_mean_logprob_is_per_token() -> None:
    assert draft(end(FinishReason.STOP, 4, -2.0)).mean_logprob == -0.5
    assert draft(end(FinishReason.STOP, 0, 0.0)).mean_logprob == 0.0
    assert draft().mean_logprob == 0.0


class TestTerms:
    def vote(self, terms: Terms, told: float | None, tokens: int = 10, logprob: float = -10.0) -> Vote:
        finished = CandidateFinished(0, FinishReason.TOOL_CALLS, tokens, 0, logprob, told)
        toolbox = Toolbox([Tool("bash", "", '{"required": ["command"]}')], terms)
        return draft(*CALL, finished).vote(toolbox)

    def test_a_vote_carries_the_risk_of_its_calls(self) -> None:
        assert self.vote(Terms(), None).risk is Risk.READING
        assert self.vote(Terms(classes=[("bash", Risk.DESTRUCTIVE)]), None).risk is Risk.DESTRUCTIVE

    @pytest.mark.parametrize(
        ("told", "counts"), [(-0.4, True), (-0.6, False), (None, False)], ids=["sure", "unsure", "mean"]
    )
    def test_a_call_that_is_too_unsure_is_a_vote_for_nothing(self, told: float | None, counts: bool) -> None:
        vote = self.vote(Terms(min_argument_logprob=-0.5), told)
        assert (vote.kind, bool(vote.key)) == ((Kind.CALLS, True) if counts else (Kind.INVALID, False))
        assert vote.summary.startswith("bash" if counts else "too unsure")

    def test_where_no_arguments_were_told_of_the_whole_mean_counts(self) -> None:
        assert self.vote(Terms(min_argument_logprob=-0.5), None, logprob=-4.0).kind is Kind.CALLS

    def test_what_the_policy_refuses_is_a_vote_for_nothing_and_says_what_it_was(self) -> None:
        terms = Terms(classes=[("bash", Risk.DESTRUCTIVE)], policy=[("bash", False)])
        vote = self.vote(terms, None)
        assert (vote.kind, vote.key) == (Kind.INVALID, "")
        assert vote.summary == """refused by the swarm's policy: bash: bash {"command": "ls"}"""


def test_invalid_calls_have_the_risk_of_what_they_say() -> None:
    wrong: list[CandidateEvent] = [
        ToolCallStarted(0, 0, "c", "bash"), ToolCallArguments(0, 0, '{"cmd": "ls"}'), ToolCallEnded(0, 0),
    ]  # fmt: skip
    vote = draft(*wrong, end(FinishReason.TOOL_CALLS)).vote(TOOLS)
    assert (vote.kind, vote.risk) == (Kind.INVALID, Risk.DESTRUCTIVE)


def test_what_was_said_comes_with_the_log_probabilities_of_its_tokens() -> None:
    told = TokenLogprob(b"Hi", -1.0)
    found = draft(TokenLogprobs(0, (told,)), ContentDelta(0, "Hi"))
    assert list(found.said("- ")) == [TokenLogprobs(0, (told,)), ContentDelta(0, "- Hi")]
    assert list(draft(ContentDelta(0, "Hi")).said()) == [ContentDelta(0, "Hi")]
    assert list(draft(*CALL).said()) == []
    assert found.tokens == 1, "the text is counted, not what is told of it"


def test_the_vote_carries_what_strategies_look_at() -> None:
    spoken = [ContentDelta(0, "The answer "), ReasoningDelta(0, "hm"), ContentDelta(0, "is 42.")]
    found = draft(*spoken, end(FinishReason.STOP)).vote(TOOLS)
    assert (found.text, found.tokens, found.key, found.summary) == ("The answer is 42.", 4, "", "text")
    assert found.mean_logprob == found.least_logprob == -0.5
    told = draft(*spoken, end(FinishReason.STOP)).vote(TOOLS, compare_words=True)
    same = draft(ContentDelta(0, "answer: 42"), end(FinishReason.STOP)).vote(TOOLS, compare_words=True)
    assert told.summary == "42"
    assert told.key == same.key != ""
    assert draft(*CALL, end(FinishReason.STOP)).vote(TOOLS, compare_words=True).summary.startswith("bash")


def test_a_draft_is_as_sure_as_its_least_sure_stretch() -> None:
    def least(*values: float) -> float:
        told = TokenLogprobs(0, tuple(TokenLogprob(b"x", value) for value in values))
        return draft(told, end(FinishReason.STOP)).vote(TOOLS).least_logprob

    assert least(-1.0, -3.0) == -2.0
    assert least(*[0.0] * 100, *[-2.0] * WINDOW, *[0.0] * 100) == -2.0
    assert least(*[0.0] * 100, -float(WINDOW), *[0.0] * 100) == -1.0


@pytest.mark.parametrize("told", [float("nan"), 3.0, float("inf")])
def test_what_is_no_log_probability_is_none_to_be_sure_of(told: float) -> None:
    found = draft(end(FinishReason.STOP, 1, told)).vote(TOOLS)
    assert found.mean_logprob == found.least_logprob == float("-inf")

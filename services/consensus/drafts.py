"""What has arrived from one candidate so far, and the vote that it amounts to. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import fmean

from services.common.chat import (
    CandidateFinished,
    ContentDelta,
    FinishReason,
    ReasoningDelta,
    TokenLogprob,
    TokenLogprobs,
    ToolCall,
    ToolCallArguments,
    ToolCallEnded,
    ToolCallStarted,
)
from services.common.text import shorten
from services.consensus.answers import answer_key, final_answer
from services.consensus.canonical import InvalidCallError, Proposal, Toolbox
from services.consensus.strategies.base import Kind, Vote
from services.consensus.strategies.risk import Risk

# Tokens: about a sentence. The longer the window, the less a single odd word matters.
WINDOW = 32
_SUMMARY = 400

CandidateEvent = (
    ContentDelta
    | ReasoningDelta
    | TokenLogprobs
    | ToolCallStarted
    | ToolCallArguments
    | ToolCallEnded
    | CandidateFinished
)


@dataclass(slots=True)
class _Call:
    id: str
    name: str
    fragments: list[str] = field(default_factory=list)
    ended: bool = False


@dataclass(slots=True)
class Draft:
    """One candidate's answer in the making."""

    candidate: int
    worker: str
    finished: CandidateFinished | None = None
    _content: list[str] = field(default_factory=list)
    _reasoning: list[str] = field(default_factory=list)
    _logprobs: list[TokenLogprob] = field(default_factory=list)
    _calls: dict[int, _Call] = field(default_factory=dict)
    _pieces: int = 0

    def add(self, event: CandidateEvent) -> None:
        """Takes an event of this candidate.

        A fragment for a call that was never started is dropped: such a call can never be complete.
        """
        match event:
            case ContentDelta(_, text):
                self._content.append(text)
                self._pieces += 1
            case ReasoningDelta(_, text):
                self._reasoning.append(text)
                self._pieces += 1
            case TokenLogprobs(_, tokens):
                self._logprobs += tokens
            case ToolCallStarted(_, index, call_id, name):
                self._calls[index] = _Call(call_id, name)
                self._pieces += 1
            case ToolCallArguments(_, index, fragment):
                self._pieces += 1
                if (call := self._calls.get(index)) is not None:
                    call.fragments.append(fragment)
            case ToolCallEnded(_, index):
                if (call := self._calls.get(index)) is not None:
                    call.ended = True
            case CandidateFinished():
                self.finished = event

    @property
    def content(self) -> str:
        return "".join(self._content)

    @property
    def reasoning(self) -> str:
        return "".join(self._reasoning)

    def said(self, before: str = "") -> Iterator[TokenLogprobs | ContentDelta]:
        """The prose so far as choice 0, behind `before`, with what is known of its tokens."""
        if self._logprobs:
            yield TokenLogprobs(0, tuple(self._logprobs))
        if self._content:
            yield ContentDelta(0, before + self.content)

    def thought(self) -> Iterator[ReasoningDelta]:
        """The reasoning so far as choice 0."""
        if self._reasoning:
            yield ReasoningDelta(0, self.reasoning)

    @property
    def calling(self) -> bool:
        """A tool call has begun, so its prose before the call is complete."""
        return bool(self._calls)

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The complete calls, in order."""
        return tuple(
            ToolCall(call.id, call.name, "".join(call.fragments))
            for _, call in sorted(self._calls.items())
            if call.ended
        )

    def acts(self, candidate: int) -> Iterator[ToolCallStarted | ToolCallArguments | ToolCallEnded]:
        """All its calls as events of `candidate`, in order; one that is not complete has no end."""
        for index, (_, call) in enumerate(sorted(self._calls.items())):
            yield ToolCallStarted(candidate, index, call.id, call.name)
            if arguments := "".join(call.fragments):
                yield ToolCallArguments(candidate, index, arguments)
            if call.ended:
                yield ToolCallEnded(candidate, index)

    @property
    def whole(self) -> bool:
        """It has finished, and none of its calls was cut off."""
        cut = self.calling and self.cut_off
        return self.finished is not None and not cut and all(call.ended for call in self._calls.values())

    @property
    def tokens(self) -> int:
        """Tokens generated: the worker's count, or the pieces that arrived if it never came to tell."""
        return self.finished.completion_tokens if self.finished else self._pieces

    @property
    def reasoning_tokens(self) -> int:
        return self.finished.reasoning_tokens if self.finished else 0

    @property
    def cut_off(self) -> bool:
        return self.finished is not None and self.finished.reason is FinishReason.LENGTH

    @property
    def mean_logprob(self) -> float:
        done = self.finished
        return done.logprob_sum / done.completion_tokens if done and done.completion_tokens else 0.0

    @property
    def _argument_logprob(self) -> float:
        """The lowest mean over the tokens of its calls; of all its tokens where the worker told no such."""
        told = self.finished.argument_logprob if self.finished else None
        return self.mean_logprob if told is None else told

    @property
    def least_logprob(self) -> float:
        """The lowest mean over a window of tokens: of its calls where it makes some, else `WINDOW` of
        its content; `mean_logprob` where such were not told.
        """
        if self.calling:
            return self._argument_logprob
        values = [token.logprob for token in self._logprobs]
        if not values:
            return self.mean_logprob
        width = min(WINDOW, len(values))
        return min(fmean(values[at : at + width]) for at in range(len(values) - width + 1))

    def vote(self, toolbox: Toolbox, compare_words: bool = False) -> Vote:
        """The vote of a candidate that has finished; one that has not is lost.

        `compare_words`: answers in words agree when their final answers do; otherwise all of them agree.
        """
        kind, said = self._meaning(toolbox)
        if compare_words and kind is Kind.WORDS:
            summary = shorten(final_answer(self.content), _SUMMARY)
            said = Proposal(answer_key(self.content), summary, Risk.READING)
        return Vote(
            candidate=self.candidate,
            worker=self.worker,
            kind=kind,
            key=said.key,
            summary=said.summary,
            mean_logprob=_logprob(self.mean_logprob),
            least_logprob=_logprob(self.least_logprob),
            text=self.content,
            risk=said.risk,
            tokens=self.tokens if self.finished else 0,
        )

    def _meaning(self, toolbox: Toolbox) -> tuple[Kind, Proposal]:
        if self.finished is None:
            return Kind.LOST, _nothing("lost")
        if not self._calls:
            return Kind.WORDS, _nothing("text")
        if self.cut_off:
            return Kind.CUT_OFF, _nothing("cut off within a tool call")
        calls = self.calls
        if len(calls) < len(self._calls):
            return Kind.INVALID, _nothing("invalid: a tool call was begun and not completed")
        try:
            proposal = toolbox.canonical(calls)
        except InvalidCallError as error:
            return Kind.INVALID, toolbox.as_written(calls, f"invalid: {shorten(str(error), 300)}")
        objection = toolbox.terms.objection(
            [call.name for call in calls], proposal.risk, self._argument_logprob
        )
        if objection is not None:
            return Kind.INVALID, _nothing(f"{objection}: {proposal.summary}")
        return Kind.CALLS, proposal


def _nothing(summary: str) -> Proposal:
    """A vote for no calls at all."""
    return Proposal("", summary, Risk.READING)


def _logprob(told: float) -> float:
    """What is no logarithm of a probability is none to be sure of, and has no place in an order."""
    return told if told <= 0 else -math.inf

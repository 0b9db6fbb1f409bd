"""Reads the event stream of one decision and holds it to its contract. Pure.

What a client acts on passes through here once, whether it streams or not: `AnswerReader` tells a `Sink`.
Two things are kept from ever happening. An answer without an end: a stream that stops before every choice
has a finish reason and the usage is known is an error. A cut-off tool call that looks whole: clients run a
tool as soon as its arguments are complete JSON (some also when they are empty), so the braces that would
complete them wait for the event that says the call is complete, and a call is not named before it has text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from services.common.errors import Reason, SwarmError
from swarm.consensus.v1 import consensus_pb2 as pb
from swarm.inference.v1 import inference_pb2

# What may follow the last character that is certainly inside a JSON object.
_CLOSING = "} \t\r\n"

_REASONS = {
    inference_pb2.FINISH_REASON_STOP: "stop",
    inference_pb2.FINISH_REASON_LENGTH: "length",
    inference_pb2.FINISH_REASON_TOOL_CALLS: "tool_calls",
}


class Sink(Protocol):
    """What an answer is made of. `choice` is OpenAI's choice index, `index` a call's place in its message."""

    def accepted(self, accepted: inference_pb2.Accepted) -> None: ...
    def content(self, choice: int, text: str) -> None: ...
    def reasoning(self, choice: int, text: str) -> None: ...
    def logprobs(self, choice: int, tokens: Sequence[inference_pb2.TokenLogprob]) -> None:
        """Of the content that follows at once."""
        ...

    def call(self, choice: int, index: int, call_id: str, name: str) -> None: ...
    def arguments(self, choice: int, index: int, fragment: str) -> None: ...
    def finished(self, choice: int, reason: str) -> None: ...


@dataclass(slots=True)
class _Call:
    id: str
    name: str
    named: bool = False
    held: str = ""
    ended: bool = False


@dataclass(slots=True)
class _Choice:
    calls: dict[int, _Call] = field(default_factory=dict)
    finish: str | None = None


class AnswerReader:
    """Feed it every event in order, then `end()`. Raises SwarmError INTERNAL on a broken contract."""

    def __init__(self, choices: int, sink: Sink) -> None:
        self.accepted: inference_pb2.Accepted | None = None
        self.usage: inference_pb2.Usage | None = None
        self.ballots: pb.Ballots | None = None
        self._choices = [_Choice() for _ in range(choices)]
        self._sink = sink

    def feed(self, event: pb.DecideEvent) -> None:
        kind = event.WhichOneof("event")
        if kind == "chat":
            self._chat(event.choice, event.chat)
        elif kind == "ballots":
            self.ballots = event.ballots

    def end(self) -> None:
        """The stream has ended well; raises unless it said all that it must."""
        if self.accepted is None:
            raise _broken("ended before it accepted the request")
        for index, choice in enumerate(self._choices):
            if choice.finish is None:
                raise _broken(f"ended before choice {index} was finished")
        if self.usage is None:
            raise _broken("ended without usage")

    def _chat(self, number: int, event: inference_pb2.ChatEvent) -> None:
        kind = event.WhichOneof("event")
        if kind == "accepted":
            if self.accepted is None:
                self.accepted = event.accepted
                self._sink.accepted(event.accepted)
            return
        if self.accepted is None:
            raise _broken(f"began with {kind}")
        if kind == "usage":
            self.usage = event.usage
            return
        if kind == "prefill_progress" or kind is None:
            return
        if not 0 <= number < len(self._choices):
            raise _broken(f"spoke of choice {number} of {len(self._choices)}")
        choice = self._choices[number]
        if choice.finish is not None:
            raise _broken(f"went on with {kind} after choice {number} was finished")
        if kind == "content":
            if event.content.text:
                self._sink.content(number, event.content.text)
        elif kind == "reasoning":
            if event.reasoning.text:
                self._sink.reasoning(number, event.reasoning.text)
        elif kind == "token_logprobs":
            self._sink.logprobs(number, event.token_logprobs.tokens)
        elif kind == "candidate_finished":
            self._finish(number, choice, event.candidate_finished.reason)
        else:
            self._call_event(number, choice, kind, event)

    def _call_event(self, number: int, choice: _Choice, kind: str, event: inference_pb2.ChatEvent) -> None:
        if kind == "tool_call_started":
            started = event.tool_call_started
            if not started.id or not started.name or started.index in choice.calls or started.index < 0:
                raise _broken(f"began call {started.index} of choice {number} twice, or without id or name")
            choice.calls[started.index] = _Call(started.id, started.name)
        elif kind == "tool_call_arguments":
            index = event.tool_call_arguments.index
            self._arguments(number, index, _open_call(choice, index), event.tool_call_arguments.fragment)
        else:
            index = event.tool_call_ended.index
            call = _open_call(choice, index)
            call.ended = True
            if not call.named:
                # Nothing but what may close an object: no arguments, or nonsense that is passed on as it is.
                self._sink.call(number, index, call.id, call.name)
                call.held = call.held if call.held.strip() else "{}"
            if call.held:
                self._sink.arguments(number, index, call.held)

    def _arguments(self, number: int, index: int, call: _Call, fragment: str) -> None:
        text = call.held + fragment
        solid = len(text.rstrip(_CLOSING))
        call.held = text[solid:]
        if solid == 0:
            return
        if not call.named:
            call.named = True
            self._sink.call(number, index, call.id, call.name)
        self._sink.arguments(number, index, text[:solid])

    def _finish(self, number: int, choice: _Choice, reason: inference_pb2.FinishReason.ValueType) -> None:
        if reason not in _REASONS:
            raise _broken(f"finished choice {number} without a reason")
        finish = _REASONS[reason]
        if any(not call.ended for call in choice.calls.values()):
            finish = "length"
        elif finish == "tool_calls" and not choice.calls:
            raise _broken(f"finished choice {number} with tool calls, but there are none")
        choice.finish = finish
        self._sink.finished(number, finish)


def _open_call(choice: _Choice, index: int) -> _Call:
    call = choice.calls.get(index)
    if call is None or call.ended:
        raise _broken(f"spoke of call {index}, which is not open")
    return call


def _broken(what: str) -> SwarmError:
    return SwarmError(Reason.INTERNAL, f"The swarm's answer was broken: it {what}.")

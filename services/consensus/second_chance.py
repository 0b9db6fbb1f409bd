"""Calls that do not fit their tools' schemas: whether and how the model is asked for them once more. Pure.

Only what no grammar held can go wrong this way. A call of a tool that was not offered is no reason to ask
again: it has no schema, and the client tells the model itself that there is no such tool.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.common.chat import ChatRequest, Message, Role, ToolCall
from services.consensus.canonical import Toolbox
from services.consensus.drafts import Draft
from services.consensus.events import CallChecks, InvalidCall

_NOT_RUN = "Not run, because another call of this turn was invalid. Make all calls of the turn again."


@dataclass(frozen=True, slots=True)
class Fault:
    """`index` is the call's place among the draft's; `offered`: its tool is, so the arguments are wrong."""

    index: int
    call: ToolCall
    problem: str
    offered: bool


def faults(draft: Draft, toolbox: Toolbox) -> tuple[Fault, ...]:
    """What is wrong with the draft's complete calls, in their order."""
    found = ((index, call, toolbox.problem(call)) for index, call in enumerate(draft.calls))
    return tuple(
        Fault(index, call, problem, toolbox.offers(call.name))
        for index, call, problem in found
        if problem is not None
    )


def worth_asking(draft: Draft, found: Sequence[Fault]) -> bool:
    """The answer is whole, and a schema was not met: told what was wrong, the model may do better."""
    return draft.whole and any(fault.offered for fault in found)


def correction(chat: ChatRequest, draft: Draft, found: Sequence[Fault]) -> ChatRequest:
    """`chat` with the draft as the assistant's turn, and a tool's answer to each of its calls."""
    problems = {fault.index: fault.problem for fault in found}
    turn = Message(Role.ASSISTANT, draft.content, draft.reasoning, draft.calls)
    answers = tuple(
        Message(Role.TOOL, _told(problems.get(index)), tool_call_id=call.id, name=call.name)
        for index, call in enumerate(draft.calls)
    )
    return replace(chat, messages=(*chat.messages, turn, *answers))


def checks(retried: bool, found: Sequence[Fault], choice: int = 0) -> CallChecks:
    """For the answer's metadata, when the calls with these faults are passed on."""
    return CallChecks(
        retried,
        tuple(
            InvalidCall(choice, fault.index, fault.call.id, fault.call.name, fault.problem) for fault in found
        ),
    )


def _told(problem: str | None) -> str:
    if problem is None:
        return _NOT_RUN
    return f"Error: the call is invalid and was not run: {problem}. Call it again with valid arguments."

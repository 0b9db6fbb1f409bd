"""How many candidates a question gets, and whether they vote. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from services.common.chat import ChatRequest, Sampling, ToolChoiceMode
from services.common.errors import invalid
from services.consensus.events import Question

# Choices and voters of one request, at most; the workers' slots are the real limit.
LIMIT = 32


@dataclass(frozen=True, slots=True)
class Plan:
    candidates: int
    vote: bool


def plan(question: Question, configured_voters: int) -> Plan:
    """Several choices are all shown, so nobody votes; one choice is voted on where a vote can say something.

    Raises SwarmError INVALID_FIELD for a number out of range.
    """
    _check("n", question.choices, least=1)
    _check("voters", question.voters, least=0)
    if question.choices > 1:
        return Plan(question.choices, vote=False)
    if greedy(question.chat.sampling):
        return Plan(1, vote=False)
    voters = question.voters or (configured_voters if offers_tools(question.chat) else 1)
    return Plan(voters, vote=voters > 1)


def greedy(sampling: Sampling) -> bool:
    """All candidates would be the same."""
    return sampling.temperature == 0 or sampling.top_k == 1


def offers_tools(chat: ChatRequest) -> bool:
    return bool(chat.tools) and chat.tool_choice.mode is not ToolChoiceMode.NONE


def _check(param: str, value: int, least: int) -> None:
    if not least <= value <= LIMIT:
        raise invalid(param, f"{param}: expected {least} to {LIMIT}, got {value}")

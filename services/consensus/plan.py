"""How many candidates a question gets, and how they vote. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from services.common.chat import ChatRequest, Sampling, ToolChoiceMode
from services.common.errors import invalid
from services.consensus.events import Question
from services.consensus.strategies.catalogue import CATALOGUE, Entry, check_stop, find

# Choices and voters of one request, at most; the workers' slots are the real limit.
LIMIT = 32


@dataclass(frozen=True, slots=True)
class Plan:
    """`entry`: the strategy by which the candidates vote; None: every one is an answer of its own.

    `open`: the request left it to the swarm, so what the swarm has found out about the model counts.
    """

    candidates: int
    entry: Entry | None = None
    open: bool = False

    @property
    def vote(self) -> bool:
        return self.entry is not None


def plan(question: Question, configured_voters: int) -> Plan:
    """Several choices are all shown, so nobody votes; one choice is voted on where a vote can say something.

    A strategy that is asked for by name votes on words too. With greedy sampling there is one candidate even
    then, because all would be the same.
    Raises SwarmError INVALID_FIELD for a number out of range or a name that is not known.
    """
    _check("n", question.choices, least=1)
    _check("voters", question.voters, least=0)
    entry = find(question.strategy)
    check_stop(question.early_stop)
    if question.choices > 1:
        if entry is not None and entry.votes:
            raise invalid(
                "swarm.strategy",
                f"The strategy {entry.name!r} gives one answer; it cannot be asked for n > 1.",
            )
        return Plan(question.choices)
    if greedy(question.chat.sampling) or (entry is not None and not entry.votes):
        return Plan(1)
    voted = entry is not None or offers_tools(question.chat)
    voters = question.voters or (configured_voters if voted else 1)
    if voters == 1:
        return Plan(1)
    left_open = entry is None and not question.voters and question.min_argument_logprob is None
    return Plan(voters, entry or CATALOGUE["tool_vote"], left_open)


def advised(planned: Plan, advice: str | None) -> Plan:
    """With what an evaluation of the model says: a strategy's name, empty for no vote, None: unknown."""
    if not planned.open or advice is None:
        return planned
    entry = CATALOGUE.get(advice)
    return replace(planned, entry=entry) if entry is not None and entry.votes else Plan(1)


def greedy(sampling: Sampling) -> bool:
    """All candidates would be the same."""
    return sampling.temperature == 0 or sampling.top_k == 1


def offers_tools(chat: ChatRequest) -> bool:
    return bool(chat.tools) and chat.tool_choice.mode is not ToolChoiceMode.NONE


def _check(param: str, value: int, least: int) -> None:
    if not least <= value <= LIMIT:
        raise invalid(param, f"{param}: expected {least} to {LIMIT}, got {value}")

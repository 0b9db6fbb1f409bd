"""The strategies under evaluation, each beside what it must do by its definition. Pure.

A `Rule` is written from the strategy's definition and shares no code with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from services.consensus.evaluation.population import Population
from services.consensus.evaluation.prediction import Chances, Rule, Tally
from services.consensus.evaluation.trial import Method
from services.consensus.strategies.tool_vote import ToolVote


@dataclass(frozen=True, slots=True)
class Subject:
    """`method` is the real thing, `rule` its definition; both for one population."""

    method: Callable[[Population], Method]
    rule: Callable[[Population], Rule]


def agreement(share_over: int, share_under: int) -> Rule:
    """An answer wins when at least `share_over` / `share_under` of all voters gave it: no ties.

    The share must be more than half; all voters means the lost ones too.
    """

    def rule(tally: Tally) -> Chances:
        needed = -(-share_over * tally.voters // share_under)
        assert 2 * needed > tally.voters, "two answers could win"
        # A mistake of one's own is enough only where there is a single voter.
        wrong = tally.shared + tally.liars >= needed or (tally.own > 0 and needed <= 1)
        return Chances(float(tally.right >= needed), float(wrong))

    return rule


def plurality(tally: Tally) -> Chances:
    """The answer that most voters gave; equally many: a fair lot. Only silence is no answer."""
    sizes = [tally.right, tally.shared + tally.liars, *[1] * tally.own]
    most = max(sizes)
    if most == 0:
        return Chances(0.0, 0.0)
    best = sizes.count(most)
    right = (tally.right == most) / best
    return Chances(right, 1 - right)


SUBJECTS: Mapping[str, Subject] = {
    "tool_vote": Subject(
        method=lambda _population: Method(ToolVote(), ToolVote(takes_invalid=True)),
        rule=lambda _population: agreement(2, 3),
    ),
}
# What a decision uses where nothing else is asked for.
LIVE = "tool_vote"

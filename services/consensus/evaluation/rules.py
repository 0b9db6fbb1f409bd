"""The strategies under evaluation, each beside what it must do by its definition. Pure.

A `Rule` is written from the strategy's definition and shares no code with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from services.consensus.evaluation.bulk import Method
from services.consensus.evaluation.population import Population
from services.consensus.evaluation.prediction import Chances, Rule, Tally
from services.consensus.strategies.base import Kind
from services.consensus.strategies.catalogue import build
from services.consensus.weights import Record, weight


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
    """The answer that most voters gave, of all that did; only silence is no answer."""
    return heaviest(1.0, 1.0)(tally)


def heaviest(honest: float, liar: float) -> Rule:
    """The answer with the most weight, where an honest voter weighs `honest` and a liar `liar`.

    Equally heavy ones: the one with the surest vote. Of honest voters that is any one, as their certainty
    says nothing; a liar claims more of it than anybody has.
    """

    def rule(tally: Tally) -> Chances:
        weights = [
            honest * tally.right,
            honest * tally.shared + liar * tally.liars,
            *[honest] * tally.own,
        ]
        most = max(weights)
        if most == 0:
            return Chances(0.0, 0.0)
        tied = [weight > most - _EQUAL for weight in weights]
        if tally.liars and tied[1]:
            return Chances(0.0, 1.0)
        right = tied[0] / sum(tied)
        return Chances(right, 1 - right)

    return rule


def leader_veto(tally: Tally) -> Chances:
    """What two thirds of all voters agree on, else what the first says who is heard; liars come last."""
    agreed = agreement(2, 3)(tally)
    heard = tally.right + tally.shared + tally.own
    if agreed.right or agreed.wrong or heard + tally.liars == 0:
        return agreed
    right = tally.right / heard if heard else 0.0
    return Chances(right, 1 - right)


# Sums of equal weights may differ by rounding.
_EQUAL = 1e-9
# Verified outcomes that each voter's weight comes from.
VERIFIED = 50


def earned(population: Population) -> tuple[float, float]:
    """The weights of an honest voter and of a liar whose outcomes were as their accuracies have them."""
    right = round(VERIFIED * population.accuracy)
    return weight(Record(right, VERIFIED - right)), weight(Record(0, VERIFIED))


def _named(name: str, kind: Kind = Kind.CALLS, weights: tuple[float, ...] = ()) -> Method:
    """As a decision builds it for a request that names it."""
    return Method(build(name), build(name, takes_invalid=True), kind, weights)


def _weighted(population: Population) -> Method:
    honest, liar = earned(population)
    weights = (honest,) * population.honest + (liar,) * population.liars
    return _named("weighted_majority", Kind.WORDS, weights)


# By the names that requests use. Calls need a quorum whatever the strategy, so those that look for the most
# frequent answer are looked at with answers in words.
SUBJECTS: Mapping[str, Subject] = {
    "tool_vote": Subject(lambda _: _named("tool_vote"), lambda _: agreement(2, 3)),
    "leader_veto": Subject(lambda _: _named("leader_veto"), lambda _: leader_veto),
    "majority": Subject(lambda _: _named("majority", Kind.WORDS), lambda _: plurality),
    "weighted_majority": Subject(_weighted, lambda population: heaviest(*earned(population))),
}
# Over RPCs votes weigh what the service's file of outcomes says, so those that have weights stay at home.
LIVE = ("tool_vote", "leader_veto", "majority")

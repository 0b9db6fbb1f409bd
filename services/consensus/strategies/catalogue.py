"""The strategies and stop rules that a request can name, with what must be known of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from services.common.errors import invalid
from services.consensus.strategies.base import QuorumRule, Strategy, two_thirds
from services.consensus.strategies.clusters import Ballot
from services.consensus.strategies.confidence import Confidence
from services.consensus.strategies.early_stop import RULES, EarlyStop
from services.consensus.strategies.leader_veto import LeaderVeto
from services.consensus.strategies.mbr import Mbr
from services.consensus.strategies.plurality import Majority, WeightedMajority
from services.consensus.strategies.short_m import ShortM
from services.consensus.strategies.single import BestWorker, Fastest
from services.consensus.strategies.tool_vote import ToolVote

AUTO = "auto"
LOSSLESS = "lossless"


class Factory(Protocol):
    def __call__(self, quorum: QuorumRule = ..., takes_invalid: bool = ...) -> Strategy: ...


@dataclass(frozen=True, slots=True)
class Entry:
    """`about` is a line for people.

    `votes`: it needs several candidates. `sees_all`: nothing is shown before it has decided, because the
    leader's prose may lose; without it, only calls wait. `by_arrival`: the order of the votes matters.
    `windows`: it needs the log-probabilities of single tokens.
    """

    name: str
    make: Factory
    about: str
    votes: bool = True
    sees_all: bool = True
    by_arrival: bool = False
    windows: bool = False


_ENTRIES = (
    Entry("best_worker", BestWorker, "one answer of the best worker, no vote", votes=False, sees_all=False),
    Entry(
        "tool_vote", ToolVote, "calls need a quorum of equal ones, the leader's prose streams", sees_all=False
    ),
    Entry("majority", Majority, "the most frequent answer"),
    Entry("weighted_majority", WeightedMajority, "the same, weighed by each worker's verified accuracy"),
    Entry("mbr", Mbr, "the answer that is most like all the others"),
    Entry("confidence", Confidence, "the surer half of the answers votes", windows=True),
    Entry("short_m", ShortM, "the first half to finish votes", by_arrival=True),
    Entry("leader_veto", LeaderVeto, "the leader's answer, unless a quorum agrees on another"),
    Entry("fastest", Fastest, "the first complete answer", by_arrival=True),
)
CATALOGUE = {entry.name: entry for entry in _ENTRIES}
STOPS = (LOSSLESS, *RULES)


def find(name: str) -> Entry | None:
    """None for `auto` or nothing. Raises SwarmError INVALID_FIELD that lists the known ones."""
    if name in ("", AUTO):
        return None
    if name not in CATALOGUE:
        raise invalid("swarm.strategy", _unknown("strategy", name, (AUTO, *CATALOGUE)))
    return CATALOGUE[name]


def check_stop(name: str) -> None:
    """Raises SwarmError INVALID_FIELD for a rule that is not known; nothing stands for `lossless`."""
    if name and name not in STOPS:
        raise invalid("swarm.early_stop", _unknown("rule to stop early by", name, STOPS))


def build(
    name: str, stop: str = "", quorum: QuorumRule = two_thirds, takes_invalid: bool = False
) -> Strategy:
    """`name` and `stop` are known ones."""
    strategy = CATALOGUE[name].make(quorum=quorum, takes_invalid=takes_invalid)
    rule = RULES.get(stop)
    return strategy if rule is None else EarlyStop(strategy, rule, Ballot(quorum, takes_invalid))


def _unknown(what: str, name: str, known: tuple[str, ...]) -> str:
    return f"There is no {what} {name[:64]!r}; known are: {', '.join(known)}."

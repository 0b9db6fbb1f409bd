"""What every strategy must hold to: one suite for all of the catalogue, and for each under each stop rule."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.consensus.strategies.base import Kind, State, Strategy, Verdict, Vote, spokesman, two_thirds
from services.consensus.strategies.catalogue import CATALOGUE, LOSSLESS, STOPS, build
from services.consensus.strategies.confidence import Confidence
from services.consensus.strategies.plurality import Majority
from services.consensus.strategies.short_m import ShortM

# The long form draws new ones each time: `make strategies`.
EXAMPLES = int(os.environ.get("SWARM_STRATEGY_EXAMPLES", "0")) or 50
LONG_FORM = "SWARM_STRATEGY_EXAMPLES" in os.environ
quick = settings(max_examples=EXAMPLES, deadline=None, derandomize=not LONG_FORM)

ANSWERS = [
    (Kind.WORDS, "one", "The sum is one."),
    (Kind.WORDS, "two", "The sum is two."),
    (Kind.WORDS, "code", "```python\ndef f(a):\n    return a\n```"),
    (Kind.CALLS, "ls", ""),
    (Kind.CALLS, "rm", ""),
    (Kind.CUT_OFF, "", ""),
    (Kind.INVALID, "wrong", ""),
    (Kind.INVALID, "", ""),
    (Kind.LOST, "", ""),
]
# Few values, so that there are ties.
LOGPROBS = (-0.5, -1.0, -3.0)


@st.composite
def elections(draw: st.DrawFn) -> list[Vote]:
    """All votes of one round in order of arrival; it may be a second one."""
    voters = draw(st.integers(1, 7))
    offset = draw(st.sampled_from([0, voters]))
    votes = []
    for candidate in draw(st.permutations(range(offset, offset + voters))):
        kind, key, text = draw(st.sampled_from(ANSWERS))
        votes.append(
            Vote(
                candidate=candidate,
                worker=draw(st.sampled_from(["Hera", "Zeus"])),
                kind=kind,
                key=key,
                text=text,
                weight=draw(st.sampled_from([-0.5, 0.1, 0.2, 1.4, 9.0])),
                mean_logprob=draw(st.sampled_from(LOGPROBS)),
                least_logprob=draw(st.sampled_from(LOGPROBS)),
                tokens=draw(st.integers(1, 3)),
            )
        )
    return votes


NAMES = sorted(CATALOGUE)
every_strategy = pytest.mark.parametrize("name", NAMES)
every_stop = pytest.mark.parametrize("stop", STOPS)
Outcome = tuple[State, Kind | None, str]


def outcome(verdict: Verdict) -> Outcome:
    return verdict.state, verdict.kind, verdict.key


def electorate(name: str, voters: int) -> int:
    """Of how many votes the quorum is a share."""
    if name == "short_m":
        return ShortM().electorate(voters)
    return Confidence().electorate(voters) if name == "confidence" else voters


def changes_its_mind(strategy: Strategy, votes: Sequence[Vote]) -> bool:
    verdicts = [strategy.decide(votes[:count], len(votes)) for count in range(len(votes) + 1)]
    ended = [outcome(each) for each in verdicts if each.state is not State.OPEN]
    still_open = [each.state is State.OPEN for each in verdicts]
    return len(set(ended)) != 1 or sorted(still_open, reverse=True) != still_open


def shrinks(strategy: Strategy, votes: Sequence[Vote], size: int) -> bool:
    """A call wins with fewer votes than so many voters owe it."""
    verdict = strategy.decide(votes, len(votes))
    calling = verdict.kind in (Kind.CALLS, Kind.INVALID)
    return verdict.quorum < two_thirds(size) or (calling and len(verdict.winners) < two_thirds(size))


def depends_on_the_order(strategy: Strategy, votes: Sequence[Vote]) -> bool:
    by_candidate = sorted(votes, key=lambda vote: vote.candidate)
    return strategy.decide(votes, len(votes)) != strategy.decide(by_candidate, len(votes))


@every_strategy
@every_stop
@quick
@given(votes=elections())
def test_a_verdict_stays_and_the_last_vote_brings_one(name: str, stop: str, votes: list[Vote]) -> None:
    for takes_invalid in (False, True):
        assert not changes_its_mind(build(name, stop, takes_invalid=takes_invalid), votes)


@every_strategy
@every_stop
@quick
@given(votes=elections())
def test_winners_voted_for_what_won(name: str, stop: str, votes: list[Vote]) -> None:
    for count in range(len(votes) + 1):
        verdict = build(name, stop).decide(votes[:count], len(votes))
        if verdict.state is not State.WON:
            assert (verdict.kind, verdict.key, verdict.winners) == (None, "", ())
            continue
        seen = {vote.candidate: (vote.kind, vote.key) for vote in votes[:count]}
        assert verdict.kind is not None
        assert verdict.kind.counts
        assert {seen[winner] for winner in verdict.winners} == {(verdict.kind, verdict.key)}
        assert list(verdict.winners) == sorted(verdict.winners)
        assert spokesman(verdict, votes[:count], votes[0].candidate) in verdict.winners


@pytest.mark.parametrize("name", [each for each in NAMES if not CATALOGUE[each].by_arrival])
@quick
@given(votes=elections())
def test_the_order_in_which_votes_arrive_does_not_matter(name: str, votes: list[Vote]) -> None:
    assert not depends_on_the_order(build(name), votes)


@pytest.mark.parametrize("name", [each for each in NAMES if each not in ("best_worker", "leader_veto")])
@quick
@given(votes=elections(), shift=st.integers(1, 6))
def test_whose_vote_it_is_does_not_matter_where_all_are_alike(
    name: str, votes: list[Vote], shift: int
) -> None:
    """No tie is broken by a candidate's number: leaders and best workers alone go by it."""
    voters = len(votes)
    start = min(vote.candidate for vote in votes)
    moved = [replace(vote, candidate=start + (vote.candidate - start + shift) % voters) for vote in votes]
    strategy = build(name)
    assert outcome(strategy.decide(votes, voters)) == outcome(strategy.decide(moved, voters))


@pytest.mark.parametrize(
    "name", [each for each in NAMES if each not in ("best_worker", "fastest", "leader_veto")]
)
@every_stop
@quick
@given(votes=elections(), lost=st.sets(st.integers(0, 6)))
def test_a_lost_vote_never_shrinks_the_quorum(
    name: str, stop: str, votes: list[Vote], lost: set[int]
) -> None:
    size = electorate(name, len(votes))
    left = [
        replace(vote, kind=Kind.LOST, key="", text="") if number in lost else vote
        for number, vote in enumerate(votes)
    ]
    if stop == LOSSLESS:
        assert not shrinks(build(name), votes, size)
        assert not shrinks(build(name), left, size)
    assert build(name, stop).decide(left, len(left)).quorum >= two_thirds(size)


@every_strategy
@every_stop
@quick
@given(votes=elections())
def test_the_same_votes_give_the_same_verdict(name: str, stop: str, votes: list[Vote]) -> None:
    before = list(votes)
    strategy = build(name, stop)
    assert strategy.decide(votes, len(votes)) == build(name, stop).decide(tuple(votes), len(votes))
    assert strategy.decide(votes, len(votes)) == strategy.decide(votes, len(votes))
    assert votes == before


@every_strategy
@every_stop
def test_without_any_answer_nothing_wins(name: str, stop: str) -> None:
    lost = [Vote(number, "Zeus", Kind.LOST) for number in range(5)]
    strategy = build(name, stop)
    assert strategy.name == name
    assert strategy.decide(lost[:4], 5).state is not State.WON
    assert strategy.decide(lost, 5).state is State.SPLIT


@every_strategy
@every_stop
def test_a_single_voter_decides_alone(name: str, stop: str) -> None:
    for kind, key, text in ANSWERS[:5]:
        verdict = build(name, stop).decide([Vote(0, "Zeus", kind, key, text=text)], 1)
        assert (verdict.state, verdict.kind, verdict.key, verdict.winners) == (State.WON, kind, key, (0,))


class _Broken(Majority):
    """Takes the votes that it has for all there are."""

    def decide(self, votes: Sequence[Vote], voters: int) -> Verdict:
        return super().decide(votes, max(1, len(votes)))


class _Shrinking(Majority):
    """Counts those that did answer only."""

    def decide(self, votes: Sequence[Vote], voters: int) -> Verdict:
        lost = sum(vote.kind is Kind.LOST for vote in votes)
        return super().decide([vote for vote in votes if vote.kind is not Kind.LOST], max(1, voters - lost))


class _FirstCome(Majority):
    """Breaks ties by arrival."""

    def decide(self, votes: Sequence[Vote], voters: int) -> Verdict:
        ranked = [replace(vote, mean_logprob=-float(place)) for place, vote in enumerate(votes)]
        return super().decide(ranked, voters)


def test_the_suite_sees_what_is_wrong_with_a_strategy() -> None:
    one, two = ((Kind.WORDS, "one"), (Kind.WORDS, "two"))
    votes = [Vote(place, "Zeus", *each) for place, each in enumerate((one, two, two))]
    assert changes_its_mind(_Broken(), votes)
    calls = [Vote(0, "Zeus", Kind.CALLS, "ls"), Vote(1, "Zeus", Kind.LOST), Vote(2, "Zeus", Kind.LOST)]
    assert shrinks(_Shrinking(), calls, 3)
    tie = [Vote(1, "Zeus", *two), Vote(0, "Zeus", *one)]
    assert depends_on_the_order(_FirstCome(), tie)
    for right in (votes, calls, tie):
        assert not changes_its_mind(Majority(), right)
        assert not shrinks(Majority(), right, len(right))
        assert not depends_on_the_order(Majority(), right)

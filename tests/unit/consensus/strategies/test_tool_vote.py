"""Majority of calls: quorum, early stop without loss, and what a lost or invalid vote may not do."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.consensus.strategies.base import Kind, State, Verdict, Vote, spokesman, two_thirds
from services.consensus.strategies.quorum import Quorums
from services.consensus.strategies.risk import Risk
from services.consensus.strategies.tool_vote import ToolVote

KINDS = {
    "w": (Kind.WORDS, ""),
    "c": (Kind.CUT_OFF, ""),
    "i": (Kind.INVALID, ""),
    "l": (Kind.LOST, ""),
    "A": (Kind.CALLS, "key of A"),
    "B": (Kind.CALLS, "key of B"),
    "C": (Kind.CALLS, "key of C"),
}


def votes(letters: str) -> list[Vote]:
    return [Vote(number, "Zeus", *KINDS[letter]) for number, letter in enumerate(letters)]


def decide(letters: str, voters: int | None = None) -> Verdict:
    return ToolVote().decide(votes(letters), voters or len(letters))


elections = st.text(alphabet=sorted(KINDS), min_size=1, max_size=9)


@pytest.mark.parametrize(
    ("voters", "quorum"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 4), (6, 4), (7, 5), (9, 6)]
)
def test_the_quorum_is_two_thirds_rounded_up(voters: int, quorum: int) -> None:
    assert two_thirds(voters) == quorum


@pytest.mark.parametrize(
    ("letters", "kind", "winners"),
    [
        ("AAB", Kind.CALLS, (0, 1)),
        ("BAA", Kind.CALLS, (1, 2)),
        ("AAAAB", Kind.CALLS, (0, 1, 2, 3)),
        ("wAw", Kind.WORDS, (0, 2)),
        ("wwwAA", Kind.WORDS, (0, 1, 2)),
        ("ccA", Kind.CUT_OFF, (0, 1)),
        ("AAl", Kind.CALLS, (0, 1)),
        ("w", Kind.WORDS, (0,)),
    ],
)
def test_who_wins(letters: str, kind: Kind, winners: tuple[int, ...]) -> None:
    verdict = decide(letters)
    assert (verdict.state, verdict.kind, verdict.winners) == (State.WON, kind, winners)


@pytest.mark.parametrize(
    "letters", ["ABC", "AB", "wAB", "AAABB", "AAAww", "iiA", "iii", "ll", "All", "wwAA", "wcA"]
)
def test_who_does_not(letters: str) -> None:
    assert decide(letters).state is State.SPLIT


@pytest.mark.parametrize(
    ("letters", "voters", "state"),
    [
        ("", 3, State.OPEN),
        ("A", 3, State.OPEN),
        ("AA", 3, State.WON),
        ("AB", 3, State.OPEN),
        ("ll", 3, State.SPLIT),
        ("AB", 2, State.SPLIT),
        ("AAA", 5, State.OPEN),
        ("AABB", 5, State.SPLIT),
        ("AAABw", 6, State.OPEN),
        ("AABBw", 6, State.SPLIT),
    ],
)
def test_it_stops_as_soon_as_nothing_can_change(letters: str, voters: int, state: State) -> None:
    assert decide(letters, voters).state is state


@given(elections, st.integers(0, 9))
def test_stopping_early_loses_nothing(letters: str, cut: int) -> None:
    early, full = decide(letters[:cut], len(letters)), decide(letters)
    assert full.state is not State.OPEN
    if early.state is not State.OPEN:
        assert (early.state, early.kind, early.key) == (full.state, full.kind, full.key)


@given(elections, st.integers(0, 9))
def test_it_is_open_only_while_two_endings_are_possible(letters: str, cut: int) -> None:
    cast, out = letters[:cut], len(letters) - len(letters[:cut])
    if decide(cast, len(letters)).state is State.OPEN:
        endings = {decide(cast + rest * out).state for rest in "wcABCl"}
        assert len(endings) > 1


@given(elections, st.randoms(use_true_random=False))
def test_the_order_of_votes_does_not_matter(letters: str, random: object) -> None:
    shuffled = "".join(sorted(letters))
    one, other = decide(letters), decide(shuffled)
    assert (one.state, one.kind, one.key, one.quorum) == (other.state, other.kind, other.key, other.quorum)


@given(elections, st.integers(0, 8), st.sampled_from("li"))
def test_losing_a_vote_never_makes_a_call_win(letters: str, place: int, loss: str) -> None:
    place %= len(letters)
    poorer = decide(letters[:place] + loss + letters[place + 1 :])
    if poorer.kind is Kind.CALLS:
        richer = decide(letters)
        assert richer.state is State.SPLIT or richer.key == poorer.key or richer.kind is not Kind.CALLS
        assert len(poorer.winners) >= two_thirds(len(letters))


@given(elections)
def test_a_call_that_wins_has_the_quorum_of_all_voters(letters: str) -> None:
    verdict = decide(letters)
    if verdict.kind is Kind.CALLS:
        assert 3 * len(verdict.winners) >= 2 * len(letters)
        assert {KINDS[letters[winner]][1] for winner in verdict.winners} == {verdict.key}


def test_a_rule_by_risk_takes_the_place_of_the_quorum() -> None:
    def unanimous_for_b(voters: int, vote: Vote | None) -> int:
        return voters if vote is not None and vote.key == "key of B" else two_thirds(voters)

    strategy = ToolVote(unanimous_for_b)
    assert strategy.decide(votes("AAB"), 3).state is State.WON
    assert strategy.decide(votes("BBA"), 3).state is State.SPLIT
    assert strategy.decide(votes("BB"), 3).state is State.OPEN
    assert strategy.decide(votes("BBB"), 3).quorum == 3


RISKS = {"R": Risk.READING, "S": Risk.READING, "W": Risk.WRITING, "V": Risk.WRITING, "D": Risk.DESTRUCTIVE}


class TestByRisk:
    """Reading (R, S), writing (W, V) and destructive (D) calls with the quorums of their classes."""

    def decide(self, letters: str, voters: int | None = None, quorums: Quorums | None = None) -> Verdict:
        cast = [
            Vote(number, "Zeus", Kind.CALLS, f"key of {letter}", risk=RISKS[letter])
            if letter in RISKS
            else Vote(number, "Zeus", *KINDS[letter])
            for number, letter in enumerate(letters)
        ]
        return ToolVote(quorums or Quorums()).decide(cast, voters or len(letters))

    @pytest.mark.parametrize(
        ("letters", "winners"),
        [
            ("RRl", (0, 1)),
            ("WWW", (0, 1, 2)),
            ("DDD", (0, 1, 2)),
            ("RRRRS", (0, 1, 2, 3)),
            ("WWWWi", (0, 1, 2, 3)),
            ("DDDDw", (0, 1, 2, 3)),
        ],
    )
    def test_who_wins(self, letters: str, winners: tuple[int, ...]) -> None:
        verdict = self.decide(letters)
        assert (verdict.state, verdict.winners) == (State.WON, winners)

    @pytest.mark.parametrize("letters", ["WWl", "WWV", "DDi", "RRRSS", "WWWVV", "DDDwl", "RSl"])
    def test_who_does_not(self, letters: str) -> None:
        assert self.decide(letters).state is State.SPLIT

    def test_what_came_short_says_how_many_it_needed(self) -> None:
        assert self.decide("WWR").quorum == 3
        assert self.decide("RSw").quorum == 2
        assert self.decide("WWWW", 5).quorum == 4

    quorums = st.builds(
        Quorums, *[st.sampled_from([Fraction(51, 100), Fraction(2, 3), Fraction(4, 5), Fraction(1)])] * 3
    )
    letters = st.text(alphabet="RSWVDwcil", min_size=1, max_size=32)

    @given(letters, st.integers(0, 32), quorums)
    def test_stopping_early_loses_nothing(self, letters: str, cut: int, quorums: Quorums) -> None:
        early, full = self.decide(letters[:cut], len(letters), quorums), self.decide(letters, None, quorums)
        assert full.state is not State.OPEN
        if early.state is not State.OPEN:
            assert (early.state, early.kind, early.key) == (full.state, full.kind, full.key)

    @given(letters, quorums, st.integers(0, 31), st.sampled_from("li"))
    def test_a_lost_vote_never_lowers_the_quorum(
        self, letters: str, quorums: Quorums, place: int, loss: str
    ) -> None:
        place %= len(letters)
        verdict = self.decide(letters[:place] + loss + letters[place + 1 :], None, quorums)
        if verdict.kind is Kind.CALLS:
            risk = RISKS[verdict.key[-1]]
            assert len(verdict.winners) >= quorums.needed(len(letters), risk)

    @given(letters, quorums, st.randoms(use_true_random=False))
    def test_the_order_of_votes_does_not_matter(self, letters: str, quorums: Quorums, random: Random) -> None:
        shuffled = "".join(random.sample(letters, len(letters)))
        one, other = self.decide(letters, None, quorums), self.decide(shuffled, None, quorums)
        assert (one.state, one.kind, one.key, one.quorum) == (
            other.state,
            other.kind,
            other.key,
            other.quorum,
        )


WITH_INVALID = {**KINDS, "I": (Kind.INVALID, "key of I"), "J": (Kind.INVALID, "key of J")}


class TestTheLastWord:
    """With `takes_invalid`, equal invalid calls (I, J) count like any others; those without a key do not."""

    def decide(self, letters: str, voters: int | None = None, takes: bool = True) -> Verdict:
        cast = [Vote(number, "Zeus", *WITH_INVALID[letter]) for number, letter in enumerate(letters)]
        return ToolVote(takes_invalid=takes).decide(cast, voters or len(letters))

    @pytest.mark.parametrize(
        ("letters", "key"), [("IIA", "key of I"), ("III", "key of I"), ("AAI", "key of A"), ("Iww", "")]
    )
    def test_who_wins(self, letters: str, key: str) -> None:
        verdict = self.decide(letters)
        assert (verdict.state, verdict.key) == (State.WON, key)

    @pytest.mark.parametrize("letters", ["IJA", "iii", "IJl", "IIJJA", "Iil"])
    def test_who_does_not(self, letters: str) -> None:
        assert self.decide(letters).state is State.SPLIT

    def test_before_the_last_round_they_are_votes_for_nothing(self) -> None:
        assert self.decide("III", takes=False).state is State.SPLIT

    @given(st.text(alphabet=sorted(WITH_INVALID), min_size=1, max_size=9), st.integers(0, 9))
    def test_stopping_early_loses_nothing(self, letters: str, cut: int) -> None:
        early, full = self.decide(letters[:cut], len(letters)), self.decide(letters)
        assert full.state is not State.OPEN
        if early.state is not State.OPEN:
            assert (early.state, early.kind, early.key) == (full.state, full.kind, full.key)


class TestSpokesman:
    def vote(self, candidate: int, logprob: float) -> Vote:
        return Vote(candidate, "Zeus", Kind.CALLS, "k", mean_logprob=logprob)

    def test_the_leader_speaks_if_it_won(self) -> None:
        cast = [self.vote(0, -9.0), self.vote(1, -1.0)]
        assert spokesman(Verdict(State.WON, 2, Kind.CALLS, "k", (0, 1)), cast, leader=0) == 0

    def test_else_the_surest_winner(self) -> None:
        cast = [self.vote(0, -0.1), self.vote(1, -3.0), self.vote(2, -1.0)]
        assert spokesman(Verdict(State.WON, 2, Kind.CALLS, "k", (1, 2)), cast, leader=0) == 2

    def test_equal_ones_by_number(self) -> None:
        cast = [self.vote(1, -1.0), self.vote(2, -1.0)]
        assert spokesman(Verdict(State.WON, 2, Kind.CALLS, "k", (1, 2)), cast, leader=0) == 1

"""How many of 2 to 32 voters each class needs."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.consensus.strategies.base import Kind, Vote
from services.consensus.strategies.quorum import Quorums
from services.consensus.strategies.risk import Risk

# voters: (reading, writing and destructive)
TABLE = {
    1: (1, 1), 2: (2, 2), 3: (2, 3), 4: (3, 4), 5: (4, 4), 6: (4, 5), 7: (5, 6), 8: (6, 7), 9: (6, 8),
    10: (7, 8), 11: (8, 9), 12: (8, 10), 13: (9, 11), 14: (10, 12), 15: (10, 12), 16: (11, 13),
    17: (12, 14), 18: (12, 15), 19: (13, 16), 20: (14, 16), 21: (14, 17), 22: (15, 18), 23: (16, 19),
    24: (16, 20), 25: (17, 20), 26: (18, 21), 27: (18, 22), 28: (19, 23), 29: (20, 24), 30: (20, 24),
    31: (21, 25), 32: (22, 26),
}  # fmt: skip

shares = st.fractions(Fraction(1, 2), 1).filter(lambda share: share > Fraction(1, 2))


@pytest.mark.parametrize("voters", TABLE)
def test_the_table(voters: int) -> None:
    quorums = Quorums()
    reading, writing = TABLE[voters]
    assert quorums.needed(voters, Risk.READING) == reading
    assert quorums.needed(voters, Risk.WRITING) == writing
    assert quorums.needed(voters, Risk.DESTRUCTIVE) == writing


def test_one_wrong_vote_among_five_blocks_nothing() -> None:
    assert all(Quorums().needed(5, risk) <= 4 for risk in Risk)


@given(st.integers(1, 32), shares, shares, shares)
def test_it_is_more_than_half_never_more_than_all_and_grows_with_the_risk(
    voters: int, reading: Fraction, writing: Fraction, destructive: Fraction
) -> None:
    quorums = Quorums(reading, writing, destructive)
    needed = [quorums.needed(voters, risk) for risk in Risk]
    assert all(voters < 2 * each and each <= voters for each in needed)
    assert needed == sorted(needed)


def test_as_a_rule_it_asks_the_vote_and_without_one_the_least() -> None:
    rule = Quorums()
    write = Vote(0, "Zeus", Kind.CALLS, "k", risk=Risk.WRITING)
    assert (rule(3, write), rule(3, None)) == (3, 2)


def test_a_vote_whose_risk_nobody_told_is_taken_for_the_highest() -> None:
    assert Vote(0, "Zeus", Kind.CALLS, "k").risk is Risk.DESTRUCTIVE


@pytest.mark.parametrize("share", [Fraction(1, 2), Fraction(0), Fraction(11, 10)])
def test_a_share_with_which_two_could_win_or_none_is_refused(share: Fraction) -> None:
    with pytest.raises(ValueError, match="above 1/2 and at most 1"):
        Quorums(writing=share)

"""What is asked of a call beside its votes."""

from __future__ import annotations

import math

import pytest

from services.common.errors import SwarmError
from services.consensus.strategies.risk import Risk
from services.consensus.terms import Terms, acting, check_floor, terms_from


class TestObjection:
    def test_by_default_there_is_none(self) -> None:
        assert Terms().objection(["bash"], Risk.DESTRUCTIVE, -99.0) is None

    def test_the_policy_is_asked_of_destructive_calls_and_its_first_word_counts(self) -> None:
        terms = terms_from("", "", "webfetch=yes, web*=no, delete=no")
        assert terms.objection(["webfetch"], Risk.DESTRUCTIVE, 0.0) is None
        assert terms.objection(["bash"], Risk.DESTRUCTIVE, 0.0) is None
        assert terms.objection(["websearch"], Risk.WRITING, 0.0) is None
        refusal = terms.objection(["read", "websearch"], Risk.DESTRUCTIVE, 0.0)
        assert refusal == "refused by the swarm's policy: websearch"

    @pytest.mark.parametrize("logprob", [-0.51, -math.inf, math.nan])
    def test_too_unsure(self, logprob: float) -> None:
        refusal = Terms(min_argument_logprob=-0.5).objection(["read"], Risk.READING, logprob)
        assert refusal is not None
        assert "at least -0.50 was asked for" in refusal

    def test_sure_enough(self) -> None:
        assert Terms(min_argument_logprob=-0.5).objection(["read"], Risk.READING, -0.5) is None


class TestFloor:
    def test_where_calls_may_come_without_a_vote_it_is_refused_by_name(self) -> None:
        with pytest.raises(SwarmError, match="condition on votes") as caught:
            check_floor(-1.0, votes=False, calls=True)
        assert caught.value.param == "min_argument_logprob"

    @pytest.mark.parametrize("floor", [0.1, math.nan, math.inf])
    def test_what_no_logarithm_of_a_probability_is_is_refused(self, floor: float) -> None:
        with pytest.raises(SwarmError, match="at most 0"):
            check_floor(floor, votes=True, calls=True)

    @pytest.mark.parametrize(("votes", "calls"), [(True, True), (False, False), (True, False)])
    def test_else_it_stands(self, votes: bool, calls: bool) -> None:
        check_floor(-1.0, votes, calls)

    def test_nobody_asked(self) -> None:
        check_floor(None, votes=False, calls=True)


class TestActing:
    declared = frozenset({"command", "description"})

    def left(self, terms: Terms, declared: frozenset[str] = declared) -> set[str]:
        return set(acting("bash", {"command": "ls", "description": "x", "note": "y"}, declared, terms))

    def test_the_description_does_not(self) -> None:
        assert self.left(Terms()) == {"command", "note"}

    def test_the_list_is_the_users(self) -> None:
        assert self.left(terms_from("bash.note, read.command", "", "")) == {"command", "description"}
        assert self.left(terms_from("", "", "")) == {"command", "description", "note"}

    def test_a_tool_that_declares_nothing_else_acts_by_it(self) -> None:
        assert "description" in self.left(Terms(), frozenset({"description"}))


def test_classes_are_read_in_their_order() -> None:
    assert terms_from("", "a=reading,b*=destructive", "").classes == (
        ("a", Risk.READING),
        ("b*", Risk.DESTRUCTIVE),
    )

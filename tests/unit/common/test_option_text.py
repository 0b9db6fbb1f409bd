"""Shares and lists as they are written in settings."""

from __future__ import annotations

from fractions import Fraction

import pytest

from services.common.option_text import names_of, pairs_of, share_of


@pytest.mark.parametrize(
    ("text", "share"), [("2/3", (2, 3)), (" 4/5 ", (4, 5)), ("0.8", (4, 5)), ("1", (1, 1))]
)
def test_shares(text: str, share: tuple[int, int]) -> None:
    assert share_of(text) == Fraction(*share)


@pytest.mark.parametrize("text", ["", "most", "1/0", "nan", "1/2", "0.5", "0", "-1", "3/2", "2"])
def test_no_shares(text: str) -> None:
    with pytest.raises(ValueError, match="expected a share"):
        share_of(text)


def test_names() -> None:
    assert names_of(" a, b.c ,,") == ("a", "b.c")
    assert names_of("") == ()


def test_pairs_keep_their_order() -> None:
    assert pairs_of("mcp_*=yes, a = no,", ("yes", "no")) == (("mcp_*", "yes"), ("a", "no"))


@pytest.mark.parametrize("text", ["a", "a=maybe", "=yes", "a b=yes", "a=yes=no"])
def test_what_is_no_pair_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="expected name=value with a value of yes, no, got"):
        pairs_of(text, ("yes", "no"))

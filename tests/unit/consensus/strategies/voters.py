"""Votes by letters."""

from __future__ import annotations

from typing import Any

from services.consensus.strategies.base import Kind, Strategy, Verdict, Vote

KINDS = {
    "a": (Kind.WORDS, "answer a"),
    "b": (Kind.WORDS, "answer b"),
    "c": (Kind.WORDS, "answer c"),
    "A": (Kind.CALLS, "call A"),
    "B": (Kind.CALLS, "call B"),
    "i": (Kind.INVALID, "invalid"),
    "t": (Kind.CUT_OFF, ""),
    "l": (Kind.LOST, ""),
}


def votes(letters: str, **told: list[Any]) -> list[Vote]:
    """`told`: further fields of the votes, in order."""
    return [
        Vote(place, "Zeus", *KINDS[letter], **{name: values[place] for name, values in told.items()})
        for place, letter in enumerate(letters)
    ]


def decide(strategy: Strategy, letters: str, voters: int = 0, **told: list[Any]) -> Verdict:
    return strategy.decide(votes(letters, **told), voters or len(letters))


def winner(strategy: Strategy, letters: str, voters: int = 0, **told: list[Any]) -> str:
    """The letter of what won, or the state."""
    verdict = decide(strategy, letters, voters, **told)
    return next(
        (letter for letter, each in KINDS.items() if each == (verdict.kind, verdict.key)), verdict.state
    )

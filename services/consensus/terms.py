"""What configuration and request ask of a call beside its votes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from services.common.errors import invalid
from services.common.option_text import names_of, pairs_of
from services.common.text import shorten
from services.consensus.strategies.risk import Classes, Risk

_CLASSES = {risk.name.casefold(): risk for risk in Risk}


@dataclass(frozen=True, slots=True)
class Terms:
    """`not_acting`: arguments that do not act, `argument` of any tool or `tool.argument`.

    `classes`: tools whose risk the user knows better. `policy`: which destructive calls the swarm may pass on
    by pattern of the tool's name; the first that fits counts, and where none does, it may: who runs the tools
    has a policy too. `min_argument_logprob`: per token of the arguments, natural logarithm, the least with
    which a vote for calls counts.
    """

    not_acting: frozenset[str] = frozenset({"description"})
    classes: Classes = ()
    policy: Sequence[tuple[str, bool]] = ()
    min_argument_logprob: float | None = None

    def acts(self, tool: str, argument: str) -> bool:
        return argument not in self.not_acting and f"{tool}.{argument}" not in self.not_acting

    def objection(self, names: Sequence[str], risk: Risk, logprob: float) -> str | None:
        """Why a vote for calls of these tools does not count, for people; None: it does.

        `risk` is that of all of them, `logprob` the lowest mean per token of their arguments.
        """
        if risk is Risk.DESTRUCTIVE:
            for name in names:
                if not next((may for pattern, may in self.policy if fnmatchcase(name, pattern)), True):
                    return f"refused by the swarm's policy: {shorten(name, 60)}"
        floor = self.min_argument_logprob
        # Written so that a worker's NaN is no certainty either.
        if floor is not None and not logprob >= floor:
            return f"too unsure: {logprob:.2f} per token of the arguments, at least {floor:.2f} was asked for"
        return None


def terms_from(not_acting: str, classes: str, policy: str) -> Terms:
    """Of the settings' text. Raises ValueError."""
    return Terms(
        frozenset(names_of(not_acting)),
        tuple((pattern, _CLASSES[value]) for pattern, value in pairs_of(classes, _CLASSES)),
        tuple((pattern, value == "yes") for pattern, value in pairs_of(policy, ("yes", "no"))),
    )


def check_floor(floor: float | None, votes: bool, calls: bool) -> None:
    """Raises SwarmError INVALID_FIELD: a condition on votes is no use where calls come without a vote."""
    if floor is None:
        return
    if not floor <= 0:
        raise invalid("min_argument_logprob", f"expected a natural logarithm of at most 0, got {floor}")
    if calls and not votes:
        raise invalid(
            "min_argument_logprob",
            "it is a condition on votes, and nobody votes with one candidate, several choices (n) or greedy "
            "sampling",
        )


def acting(tool: str, arguments: Mapping[str, Any], declared: frozenset[str], terms: Terms) -> dict[str, Any]:
    """The arguments that act. A tool that declares no others acts by those."""
    if not any(terms.acts(tool, name) for name in declared):
        return dict(arguments)
    return {name: value for name, value in arguments.items() if terms.acts(tool, name)}

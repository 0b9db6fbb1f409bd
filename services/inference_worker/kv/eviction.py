"""Which kept entries go when room is wanted. Pure policy, the same for both tiers.

Side requests go first, then subagents, then main conversations; among them the least recently used, and
leaves before their parents, because a block without its parent cannot be reached. The newest chain of each
main session is pinned while it is in use: it goes last, and only for another main conversation.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol, TypeVar

PIN_SECONDS = 3600.0
"""How long after its last use a main conversation's newest chain is pinned."""


class Rank(IntEnum):
    """Whose state it is; the lower goes first."""

    SIDE = 0
    """Titles and the like."""
    SUBAGENT = 1
    MAIN = 2


@dataclass(frozen=True, slots=True)
class Owner:
    """`session` names the conversation that a request belongs to; those that have not said are one."""

    session: str = ""
    rank: Rank = Rank.MAIN


class Entry(Protocol):
    """`size` bytes, last `used` at that time of the clock; `start`: its first token's position.

    An entry's rank and time of use are never less than those of the entries that build on it.
    """

    @property
    def size(self) -> int: ...
    @property
    def rank(self) -> Rank: ...
    @property
    def used(self) -> float: ...
    @property
    def start(self) -> int: ...


E = TypeVar("E", bound=Entry)


def victims(
    entries: Iterable[E],
    need: int,
    asker: Rank,
    pinned: Container[E] = (),
    protected: Container[E] = (),
    slack: int = 0,
) -> list[E] | None:
    """The entries to drop, in this order, so that at least `need` bytes come free; None: impossible.

    `protected` ones stay. `pinned` ones go last, and stay for an asker below MAIN. What else is due goes too
    while that frees no more than `need + slack`, so that the next calls come seldom; it is never pinned.
    """
    free = [entry for entry in entries if entry not in protected]
    order = sorted(
        (entry for entry in free if entry not in pinned),
        key=lambda entry: (entry.rank, entry.used, -entry.start),
    )
    unpinned = len(order)
    if asker is Rank.MAIN:
        order += sorted(
            (entry for entry in free if entry in pinned), key=lambda entry: (entry.used, -entry.start)
        )
    gone: list[E] = []
    freed = 0
    for index, entry in enumerate(order):
        if freed >= need and (index >= unpinned or freed + entry.size > need + slack):
            break
        gone.append(entry)
        freed += entry.size
    return gone if freed >= need else None

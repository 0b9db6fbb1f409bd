"""What a parser has understood, before it becomes events of a candidate; and how readers of calls look."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """Reasoning, where headers tell it from the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Start:
    """A call to this tool has begun."""

    name: str


@dataclass(frozen=True, slots=True)
class Arguments:
    """The next piece of the arguments' JSON text."""

    fragment: str


@dataclass(frozen=True, slots=True)
class End:
    """The call is whole. Its last fragment, the closing brace, has come immediately before."""


Step = Text | Reasoning | Start | Arguments | End


class ReaderState(Enum):
    OPEN = auto()
    DONE = auto()
    """A whole call."""
    FAILED = auto()
    """No call, and nothing was told of it: the text is text."""
    BROKEN = auto()
    """Malformed after it was started: it will never end."""


class CallReader(Protocol):
    """Reads one call behind its opener.

    `begun` tells that what was read can hardly be anything but a call; `rest` is, in any state but OPEN, the
    text that was fed and does not belong to the call. `started` follows the Start step.
    """

    @property
    def state(self) -> ReaderState: ...

    @property
    def begun(self) -> bool: ...

    @property
    def started(self) -> bool: ...

    @property
    def rest(self) -> str: ...

    def feed(self, text: str) -> list[Step]: ...

    def finish(self, cut_off: bool) -> list[Step]:
        """No more text comes; the state stays OPEN when the call is not whole."""
        ...

"""How an answer goes on at another worker, with nothing lost and nothing said twice. Pure.

The other worker gets the tokens that were drawn so far and tells all that they become once more. Events
depend on the tokens alone, and tokens are told before what becomes of them, so what was already told is the
beginning of what is told again, text by text; it is compared and left out. Only the pieces may be cut
otherwise, and the ids of calls are new: those that were told first stand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import chain
from typing import Generic, TypeVar

from services.common.chat import (
    CandidateFinished,
    ContentDelta,
    DrawnToken,
    DrawnTokens,
    ModelInfo,
    ReasoningDelta,
    TokenLogprob,
    TokenLogprobs,
    ToolCallArguments,
    ToolCallEnded,
    ToolCallStarted,
)
from services.common.errors import Reason, SwarmError
from services.consensus.drafts import CandidateEvent

Item = TypeVar("Item")
T = TypeVar("T", str, tuple[DrawnToken, ...], tuple[TokenLogprob, ...])


class _Tape(Generic[T]):
    """A text, or tokens, in pieces: what was told, and how far whoever speaks now has come in it."""

    def __init__(self, join: Callable[[Iterable[T]], T]) -> None:
        self._join: Callable[[Iterable[T]], T] = join
        self._pieces: list[T] = []
        self._ahead = 0
        """Of the whole, what is to be told again."""

    @property
    def whole(self) -> T:
        whole = self._join(self._pieces)
        self._pieces = [whole]
        return whole

    @property
    def ahead(self) -> bool:
        return self._ahead > 0

    def rewind(self) -> None:
        self._ahead = len(self.whole)

    def fresh(self, piece: T) -> T:
        """What of `piece` is new. Raises SwarmError WORKER_LOST when what is told again is not the same."""
        if self._ahead:
            whole = self.whole
            again = piece[: self._ahead]
            at = len(whole) - self._ahead
            if whole[at : at + len(again)] != again:
                raise _different()
            self._ahead -= len(again)
            piece = piece[len(again) :]
        if piece:
            self._pieces.append(piece)
        return piece


class _Call:
    def __init__(self, name: str) -> None:
        self.name = name
        self.arguments = _Tape[str]("".join)
        self.ended = False


class Transcript:
    """One candidate's answer as it was passed on. Give every event of whoever speaks to `fresh`."""

    def __init__(self) -> None:
        self._drawn = _Tape[tuple[DrawnToken, ...]](_flat)
        self._logprobs = _Tape[tuple[TokenLogprob, ...]](_flat)
        self._content = _Tape[str]("".join)
        self._reasoning = _Tape[str]("".join)
        self._calls: dict[int, _Call] = {}
        self._finished = False

    @property
    def drawn(self) -> tuple[DrawnToken, ...]:
        """All tokens that were told: what another worker needs to go on."""
        return self._drawn.whole

    def rewind(self) -> None:
        """Another worker speaks now, from the beginning."""
        for tape in self._tapes():
            tape.rewind()

    def fresh(self, event: CandidateEvent | DrawnTokens) -> CandidateEvent | None:
        """What of `event` was not told yet and is to be passed on.

        Raises SwarmError WORKER_LOST when a worker does not repeat what another has said.
        """
        match event:
            case DrawnTokens(_, tokens):
                self._drawn.fresh(tokens)
                return None
            case ContentDelta(_, text):
                rest = self._content.fresh(text)
                return replace(event, text=rest) if rest else None
            case ReasoningDelta(_, text):
                rest = self._reasoning.fresh(text)
                return replace(event, text=rest) if rest else None
            case TokenLogprobs(_, told):
                new = self._logprobs.fresh(told)
                return replace(event, tokens=new) if new else None
            case ToolCallStarted(_, index, _, name):
                return self._start(event, index, name)
            case ToolCallArguments(_, index, fragment):
                call = self._calls.get(index)
                rest = fragment if call is None else call.arguments.fresh(fragment)
                return replace(event, fragment=rest) if rest else None
            case ToolCallEnded(_, index):
                return self._end(event, index)
            case CandidateFinished():
                if any(tape.ahead for tape in self._tapes()):
                    raise _different()
                known, self._finished = self._finished, True
                return None if known else event

    def _start(self, event: ToolCallStarted, index: int, name: str) -> ToolCallStarted | None:
        if (known := self._calls.get(index)) is None:
            self._calls[index] = _Call(name)
            return event
        if known.name != name:
            raise _different()
        return None

    def _end(self, event: ToolCallEnded, index: int) -> ToolCallEnded | None:
        call = self._calls.get(index)
        if call is None:
            return event
        if call.arguments.ahead:
            raise _different()
        known, call.ended = call.ended, True
        return None if known else event

    def _tapes(
        self,
    ) -> Iterable[_Tape[str] | _Tape[tuple[DrawnToken, ...]] | _Tape[tuple[TokenLogprob, ...]]]:
        calls = (call.arguments for call in self._calls.values())
        return (self._drawn, self._logprobs, self._content, self._reasoning, *calls)


def can_go_on(model: str, before: Sequence[ModelInfo], after: Sequence[ModelInfo], length: int) -> bool:
    """Whether a worker that serves `after` can go on with an answer of one that serves `before`.

    The model and its file are the same, read in the same way, with a context of `length` tokens at least.
    """
    known = {each.fingerprint for each in before if each.id == model} - {""}
    return any(
        each.id == model and each.fingerprint in known and each.context_length >= length for each in after
    )


def _flat(pieces: Iterable[tuple[Item, ...]]) -> tuple[Item, ...]:
    return tuple(chain.from_iterable(pieces))


def _different() -> SwarmError:
    return SwarmError(
        Reason.WORKER_LOST, "A worker was to go on with another's answer and did not repeat what was said."
    )

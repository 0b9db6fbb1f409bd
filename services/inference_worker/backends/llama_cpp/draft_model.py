"""A second, small model of the same vocabulary guesses what the large one will say.

It has a context of its own, driven by the engine's thread. Of each candidate it holds a prefix of the known
tokens; what is missing is fed in chunks, so that a long prompt does not hold up the streams: until it is
through, its candidate gets no guesses. What a candidate leaves behind serves the next turn until its room
is needed.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic

import llama_cpp.llama_cpp as llama
import numpy as np
import structlog

from services.common.errors import Reason, SwarmError
from services.inference_worker.backends.base import Outcome, Slice
from services.inference_worker.backends.llama_cpp.backend import LlamaCppBackend
from services.inference_worker.backends.llama_cpp.options import LoadOptions
from services.inference_worker.engine.scheduler import Key

# Vocabularies of one family are padded differently; so many more tokens than the other are borne.
MOST_PADDING = 256
# A guess that the draft model itself gives less is not worth verifying.
PROBABLE = 0.6
# Seconds that catching up may take in one step, and the least number of tokens it does.
_CATCH_UP = 0.05
_LEAST_CHUNK = 32
_RATE_WEIGHT = 0.3
# Sequences that nobody uses and that are kept for next turns; more would slow down all others.
_IDLE = 4

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class _Held:
    """A sequence of the draft model's context, the tokens in it and whose they are; None: nobody's now."""

    sequence: int
    tokens: array[int] = field(default_factory=lambda: array("i"))
    key: Key | None = None
    used: int = 0


@dataclass(slots=True, eq=False)
class _Draft:
    """A candidate's guesses while they are made."""

    held: _Held
    most: int
    guesses: array[int] = field(default_factory=lambda: array("i"))


class DraftModel:
    """A `Drafter`."""

    name = "model"

    def __init__(self, target: LlamaCppBackend, options: LoadOptions, probable: float = PROBABLE) -> None:
        """`options.sequences` candidates are drafted for at a time; `probable` from 0 to 1.

        Raises SwarmError INVALID_FIELD for `draft_model` when the vocabularies differ or the model cannot
        take tokens back, and what loading a model raises.
        """
        self._backend = LlamaCppBackend(options)
        try:
            _check(self._backend, target, str(options.path))
        except BaseException:
            self._backend.close()
            raise
        self._tokens = min(target.vocabulary.size, self._backend.vocabulary.size)
        self._trained = int(llama.llama_model_n_ctx_train(self._backend.model))
        # The sum of exp(logit - highest) is one over the likeliest token's probability.
        self._most_mass = 1 / probable if probable > 0 else float("inf")
        self._all = [_Held(sequence) for sequence in range(self._backend.capacity.sequences)]
        self._rate: float | None = None
        self._round = 0

    def propose(self, wanted: Mapping[Key, tuple[array[int], int]]) -> dict[Key, Sequence[int]]:
        self._round += 1
        drafts: dict[Key, _Draft] = {}
        for key, (known, most) in wanted.items():
            # Positions beyond what it was trained for give nothing of use.
            most = min(most, self._trained - len(known))
            if most > 0 and known and (held := self._hold(key, known, wanted)) is not None:
                drafts[key] = _Draft(held, most)
        ready = self._catch_up({key: (draft, wanted[key][0]) for key, draft in drafts.items()})
        self._draft(ready)
        return {key: draft.guesses for key, draft in drafts.items() if draft.guesses}

    def forget(self, key: Key) -> None:
        for held in self._all:
            if held.key == key:
                held.key = None
        idle = sorted((each for each in self._all if each.key is None and each.tokens), key=_used)
        for held in idle[:-_IDLE]:
            self._empty(held)

    def close(self) -> None:
        self._backend.close()

    # -- sequences ---------------------------------------------------------------------------------

    def _hold(self, key: Key, known: array[int], wanted: Collection[Key]) -> _Held | None:
        """The candidate's sequence, cut back to what it has in common with `known`.

        The last known token is never in it: its row is wanted. None: all sequences are in use.
        """
        held = next((each for each in self._all if each.key == key), None)
        if held is None:
            held = self._take(key, known, wanted)
            if held is None:
                return None
        held.used = self._round
        common = min(_common_prefix(held.tokens, known), len(known) - 1)
        if common < len(held.tokens):
            if self._backend.cut(held.sequence, common):
                del held.tokens[common:]
            else:
                self._empty(held)
        return held

    def _take(self, key: Key, known: array[int], wanted: Collection[Key]) -> _Held | None:
        """A sequence for a new candidate, with the longest prefix that any other can give."""
        donor = max(self._all, key=lambda each: _common_prefix(each.tokens, known))
        common = _common_prefix(donor.tokens, known)
        if donor.key is None and 2 * common > len(donor.tokens):
            donor.key = key
            return donor
        free = [each for each in self._all if each.key is None or each.key not in wanted]
        if not free:
            return None
        held = min(free, key=lambda each: (each.key is not None, bool(each.tokens), each.used))
        held.key = key
        if held is not donor:
            self._empty(held)
            if common and self._can_copy(donor, common):
                self._backend.copy(donor.sequence, held.sequence, common)
                held.tokens = donor.tokens[:common]
        return held

    def _can_copy(self, donor: _Held, length: int) -> bool:
        return self._backend.capacity.partial_prefix or length == len(donor.tokens)

    def _empty(self, held: _Held) -> None:
        self._backend.drop(held.sequence)
        held.tokens = array("i")

    def _make_room(self) -> bool:
        """Empties the sequence that is used least, none of this round. False: there is none."""
        idle = [each for each in self._all if each.tokens and each.used < self._round]
        if not idle:
            return False
        self._empty(min(idle, key=lambda each: (each.key is not None, each.used)))
        return True

    # -- decoding ----------------------------------------------------------------------------------

    def _catch_up(self, drafts: Mapping[Key, tuple[_Draft, array[int]]]) -> list[_Draft]:
        """Feeds known tokens, the shortest rest first; those that are through, their rows in this order."""
        room = self._chunk()
        steps: list[tuple[_Draft, Sequence[int], int]] = []
        for draft, known in sorted(drafts.values(), key=lambda each: len(each[1]) - len(each[0].held.tokens)):
            rest = known[len(draft.held.tokens) :]
            if len(rest) > room and len(rest) > 1:
                rest = rest[:room]
            if rest:
                through = len(draft.held.tokens) + len(rest) == len(known)
                steps.append((draft, rest, int(through)))
                room = max(0, room - len(rest))
        started = monotonic()
        if not self._decode(steps):
            return []
        fed = sum(len(tokens) for _, tokens, _ in steps)
        if fed >= _LEAST_CHUNK:
            rate = fed / max(monotonic() - started, 1e-6)
            self._rate = rate if self._rate is None else self._rate + _RATE_WEIGHT * (rate - self._rate)
        return self._guess(steps)

    def _chunk(self) -> int:
        most = self._backend.capacity.batch - len(self._all)
        chosen = 4 * _LEAST_CHUNK if self._rate is None else int(self._rate * _CATCH_UP)
        return min(most, max(_LEAST_CHUNK, chosen))

    def _draft(self, going: list[_Draft]) -> None:
        """One more guess for each of `going`, again and again."""
        while going:
            steps: list[tuple[_Draft, Sequence[int], int]] = [
                (draft, (draft.guesses[-1],), 1) for draft in going
            ]
            if not self._decode(steps):
                return
            going = self._guess(steps)

    def _guess(self, steps: Sequence[tuple[_Draft, Sequence[int], int]]) -> list[_Draft]:
        """Reads the rows of the last decode; those who go on."""
        going: list[_Draft] = []
        row = -1
        for draft, tokens, outputs in steps:
            row += len(tokens)
            if not outputs:
                continue
            logits = self._backend.logits(row)[: self._tokens]
            token = int(logits.argmax())
            if float(np.exp(logits - logits[token]).sum()) > self._most_mass:
                continue
            draft.guesses.append(token)
            if len(draft.guesses) < draft.most and not self._backend.is_end(token):
                going.append(draft)
        return going

    def _decode(self, steps: Sequence[tuple[_Draft, Sequence[int], int]]) -> bool:
        """False: nothing was computed; without room the sequences of this step are given up."""
        if not steps:
            return False
        slices = [
            Slice(draft.held.sequence, len(draft.held.tokens), tokens, outputs)
            for draft, tokens, outputs in steps
        ]
        while (outcome := self._backend.decode(slices)) is Outcome.NO_ROOM and self._make_room():
            continue
        if outcome is Outcome.DONE:
            for draft, tokens, _ in steps:
                draft.held.tokens.extend(tokens)
            return True
        log.warning("drafting failed", outcome=outcome.name, tokens=sum(len(each.tokens) for each in slices))
        for draft, _, _ in steps:
            self._empty(draft.held)
        return False


def _used(held: _Held) -> int:
    return held.used


def _common_prefix(first: array[int], second: array[int]) -> int:
    length = min(len(first), len(second))
    if not length:
        return 0
    ours, theirs = np.frombuffer(first, np.int32, length), np.frombuffer(second, np.int32, length)
    differ = np.flatnonzero(ours != theirs)
    return int(differ[0]) if differ.size else length


def _check(draft: LlamaCppBackend, target: LlamaCppBackend, path: str) -> None:
    if draft.capacity.rollback == 0:
        raise _unfit(path, "it is a recurrent model, which cannot take wrong guesses back")
    ours, theirs = draft.vocabulary.size, target.vocabulary.size
    if abs(ours - theirs) > MOST_PADDING:
        raise _unfit(path, f"it has {ours} tokens, the model has {theirs}; guesses are passed on as ids")
    for token in range(min(ours, theirs)):
        mine, other = draft.token_text(token), target.token_text(token)
        if mine != other:
            raise _unfit(path, f"its token {token} is {mine!r}, the model's is {other!r}")


def _unfit(path: str, why: str) -> SwarmError:
    return SwarmError(
        Reason.INVALID_FIELD, f"draft_model {path} does not fit the model: {why}", param="draft_model"
    )

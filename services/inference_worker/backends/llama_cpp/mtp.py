"""Multi-token prediction: the model's own extra layer guesses on from the hidden states of its last tokens.

The layer has a context of its own on the same weights, with the same sequences. It reads each token
together with the hidden state of the one before; so `MtpBackend` sees every decode, copy and cut, and the
layer follows with some delay: what it has not read is queued until it is asked for guesses or the queue
is long. Where state came from a store there are no hidden states: the layer then knows only what came
later, which makes its guesses worse, never wrong.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import llama_cpp.llama_cpp as llama
import numpy as np
import structlog

from services.common.errors import SwarmError, invalid
from services.inference_worker.backends.base import Outcome, Slice
from services.inference_worker.backends.llama_cpp import log as native_log
from services.inference_worker.backends.llama_cpp import nextn
from services.inference_worker.backends.llama_cpp.backend import LlamaCppBackend
from services.inference_worker.backends.llama_cpp.batch import Batch
from services.inference_worker.backends.llama_cpp.nextn import Hidden
from services.inference_worker.backends.llama_cpp.options import LoadOptions
from services.inference_worker.engine.scheduler import Key

# A guess that the layer itself gives less is not worth verifying.
PROBABLE = 0.6
# Queued tokens of all sequences that are read at once.
_QUEUE = 256
# Hidden states kept of each sequence, for what `cut` takes back: as many as a step may feed of a stream.
_RECENT = 80
_UNKNOWN = -1
_MTP_CONTEXT = 1  # enum llama_context_type

log = structlog.get_logger()


@dataclass(slots=True)
class _Piece:
    """Tokens from `start` on, each with the hidden state of the token before it."""

    start: int
    tokens: Sequence[int]
    hidden: Hidden


@dataclass(slots=True, eq=False)
class _Followed:
    """One sequence of the model and how far the layer has come.

    `tokens` that the model holds. `recent`: hidden states of its last ones. The layer has read or queued
    the tokens from where it began up to `end`; 0: nothing.
    """

    tokens: array[int] = field(default_factory=lambda: array("i"))
    recent: list[Hidden] = field(default_factory=list)
    queue: list[_Piece] = field(default_factory=list)
    end: int = 0

    @property
    def queued(self) -> int:
        return sum(len(piece.tokens) for piece in self.queue)


class Predictor:
    """The layer's context. Belongs to the engine's thread."""

    def __init__(
        self, model: llama.llama_model_p, options: LoadOptions, cells: int, batch: int, sequences: int
    ) -> None:
        """Raises SwarmError INVALID_FIELD for `speculation` when llama.cpp makes no such context."""
        self._width = int(llama.llama_model_n_embd_out(model))
        self._vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))
        parameters = llama.llama_context_default_params()
        parameters.n_ctx, parameters.n_batch = cells, batch
        parameters.n_ubatch = min(batch, options.micro_batch)
        parameters.n_seq_max = parameters.n_outputs_max = sequences
        parameters.n_threads = parameters.n_threads_batch = options.threads
        parameters.kv_unified = parameters.no_perf = True
        parameters.ctx_type = _MTP_CONTEXT
        context: llama.llama_context_p | None = llama.llama_init_from_model(model, parameters)
        if context is None:
            raise _impossible(native_log.last_complaints() or "llama.cpp gives no reason")
        self._context = context
        self._memory = llama.llama_get_memory(context)
        nextn.keep_hidden(context, outputs_only=True)
        self._batch = Batch(batch, sequences, sequences)
        self._hidden = np.zeros((batch, self._width), np.float32)
        states: Any = self._hidden.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        self._batch.native.embd = states
        self._sequences = [_Followed() for _ in range(sequences)]

    def close(self) -> None:
        llama.llama_free(self._context)

    # -- following the model -----------------------------------------------------------------------

    def decoded(self, target: llama.llama_context_p, slices: Sequence[Slice]) -> None:
        """The model has decoded these, and keeps the hidden states of all of them."""
        rows = nextn.hidden(target, sum(len(each.tokens) for each in slices), self._width)
        at = 0
        for each in slices:
            self._note(each, rows[at : at + len(each.tokens)])
            at += len(each.tokens)
        if sum(followed.queued for followed in self._sequences) >= _QUEUE:
            self._read()

    def _note(self, fed: Slice, rows: Hidden) -> None:
        followed = self._sequences[fed.sequence]
        before = self._before(followed)
        tokens, start = fed.tokens, fed.position
        states = rows[:-1]
        if before is not None:
            states = np.vstack((before[np.newaxis], states))
        else:
            tokens, start = tokens[1:], start + 1
        if followed.end != start:
            self._forget(fed.sequence)
        if tokens:
            followed.queue.append(_Piece(start, tokens, states.copy()))
            followed.end = start + len(tokens)
        followed.tokens.extend(fed.tokens)
        followed.recent = [*followed.recent, *rows[-_RECENT:].copy()][-_RECENT:]

    def _before(self, followed: _Followed) -> Hidden | None:
        """The hidden state of the last token; None: unknown."""
        if not followed.tokens:
            return np.zeros(self._width, np.float32)
        return followed.recent[-1] if followed.recent else None

    def copy(self, source: int, target: int, length: int) -> None:
        self._read()
        given, taken = self._sequences[source], self._sequences[target]
        self._forget(target)
        llama.llama_memory_seq_cp(self._memory, source, target, 0, length)
        taken.tokens = given.tokens[:length]
        taken.end = min(given.end, length) if self._holds(target) else 0
        taken.recent = _last(given, length)

    def cut(self, sequence: int, length: int) -> None:
        followed = self._sequences[sequence]
        followed.recent = _last(followed, length)
        del followed.tokens[length:]
        queue, followed.queue = followed.queue, []
        for piece in queue:
            if piece.start < length:
                keep = length - piece.start
                followed.queue.append(_Piece(piece.start, piece.tokens[:keep], piece.hidden[:keep]))
        llama.llama_memory_seq_rm(self._memory, sequence, length, -1)
        followed.end = min(followed.end, length) if followed.queue or self._holds(sequence) else 0

    def loaded(self, sequence: int, start: int, end: int) -> None:
        """The model got back a saved state: nobody here knows which tokens and what hidden states."""
        followed = self._sequences[sequence]
        followed.tokens.extend([_UNKNOWN] * (end - start))
        followed.recent = []

    def drop(self, sequence: int) -> None:
        self._forget(sequence)
        self._sequences[sequence] = _Followed()

    def _forget(self, sequence: int) -> None:
        llama.llama_memory_seq_rm(self._memory, sequence, -1, -1)
        followed = self._sequences[sequence]
        followed.queue, followed.end = [], 0

    def _holds(self, sequence: int) -> bool:
        return bool(llama.llama_memory_seq_pos_max(self._memory, sequence) >= 0)

    def _read(self) -> None:
        """The layer reads what is queued."""
        slices: list[Slice] = []
        states: list[Hidden] = []
        room = self._batch.size
        for sequence, followed in enumerate(self._sequences):
            queue, followed.queue = followed.queue, []
            for piece in queue:
                done = 0
                while done < len(piece.tokens):
                    count = min(room, len(piece.tokens) - done)
                    tokens = piece.tokens[done : done + count]
                    slices.append(Slice(sequence, piece.start + done, tokens, 0))
                    states.append(piece.hidden[done : done + count])
                    done, room = done + count, room - count
                    if not room:
                        self._decode(slices, states)
                        slices, states, room = [], [], self._batch.size
        if slices:
            self._decode(slices, states)

    def _decode(self, slices: Sequence[Slice], states: Sequence[Hidden]) -> bool:
        """False: it could not be done, and the layer knows nothing of these sequences any more."""
        self._batch.fill(slices)
        np.concatenate(states, out=self._hidden[: self._batch.native.n_tokens])
        code = llama.llama_decode(self._context, self._batch.native)
        if code == 0:
            return True
        log.warning("the prediction layer failed", code=code, detail=native_log.last_complaints())
        for sequence in {each.sequence for each in slices}:
            self._forget(sequence)
        return False

    # -- guessing ----------------------------------------------------------------------------------

    def find(self, known: array[int], taken: set[int]) -> int | None:
        """A sequence, none of `taken`, that holds all of `known` but its last token."""
        wanted = np.frombuffer(known, np.int32)[:-1]
        for sequence, followed in enumerate(self._sequences):
            if len(followed.tokens) != len(wanted) or not followed.recent or sequence in taken:
                continue
            held = np.frombuffer(followed.tokens, np.int32)
            if not np.any((held != wanted) & (held != _UNKNOWN)):
                return sequence
        return None

    def guess(self, wanted: Mapping[int, tuple[int, int]], most_mass: float) -> dict[int, array[int]]:
        """By sequence: its last token, which the model has not decoded yet, and how many guesses are wanted.

        A guess whose probability is less than one over `most_mass` ends them.
        """
        self._read()
        found = {sequence: array("i") for sequence in wanted}
        starts = {sequence: len(self._sequences[sequence].tokens) for sequence in wanted}
        going = [(sequence, token) for sequence, (token, _) in wanted.items()]
        states = [self._sequences[sequence].recent[-1][np.newaxis] for sequence in wanted]
        while going:
            slices = [
                Slice(sequence, starts[sequence] + len(found[sequence]), (token,), 1)
                for sequence, token in going
            ]
            if not self._decode(slices, states):
                break
            rows = nextn.hidden(self._context, len(going), self._width)
            on: list[tuple[int, int]] = []
            states = []
            for row, (sequence, _) in enumerate(going):
                logits = np.ctypeslib.as_array(
                    llama.llama_get_logits_ith(self._context, row), (self._vocabulary,)
                )
                token = int(logits.argmax())
                if float(np.exp(logits - logits[token]).sum()) > most_mass:
                    continue
                found[sequence].append(token)
                if len(found[sequence]) < wanted[sequence][1]:
                    on.append((sequence, token))
                    states.append(rows[row : row + 1].copy())
            going = on
        for sequence, start in starts.items():
            llama.llama_memory_seq_rm(self._memory, sequence, start, -1)
        return found


class MtpBackend(LlamaCppBackend):
    """A backend whose model's prediction layer follows all that it decodes."""

    def __init__(self, options: LoadOptions) -> None:
        """Raises what LlamaCppBackend raises; INVALID_FIELD for `speculation` if the model cannot do it."""
        super().__init__(replace(options, mtp=True))
        try:
            layers = int(llama.llama_model_n_layer_nextn(self.model))
            if why := nextn.refusal(self.architecture, layers):
                raise _impossible(why)
            if self.capacity.rollback == 0:
                raise _impossible("the model cannot take wrong guesses back")
            self.predictor = Predictor(
                self.model, options, self.capacity.cells, self.capacity.batch, self.capacity.sequences
            )
        except BaseException:
            super().close()
            raise
        nextn.keep_hidden(self._context, outputs_only=False)

    def decode(self, slices: Sequence[Slice]) -> Outcome:
        outcome = super().decode(slices)
        if outcome is Outcome.DONE:
            self.predictor.decoded(self._context, slices)
        return outcome

    def copy(self, source: int, target: int, length: int) -> None:
        super().copy(source, target, length)
        self.predictor.copy(source, target, length)

    def cut(self, sequence: int, length: int) -> bool:
        done = super().cut(sequence, length)
        if done:
            self.predictor.cut(sequence, length)
        return done

    def load(self, sequence: int, start: int, end: int, state: bytes) -> bool:
        done = super().load(sequence, start, end, state)
        if done:
            self.predictor.loaded(sequence, start, end)
        return done

    def drop(self, sequence: int) -> None:
        super().drop(sequence)
        self.predictor.drop(sequence)

    def close(self) -> None:
        self.predictor.close()
        super().close()


class MtpDrafter:
    """A `Drafter` on a backend's prediction layer."""

    name = "mtp"

    def __init__(self, backend: MtpBackend, probable: float = PROBABLE) -> None:
        """`probable`, from 0 to 1: the least probability that a guess must have."""
        self._backend = backend
        self._most_mass = 1 / probable if probable > 0 else float("inf")

    def propose(self, wanted: Mapping[Key, tuple[array[int], int]]) -> dict[Key, Sequence[int]]:
        found: dict[int, Key] = {}
        asked: dict[int, tuple[int, int]] = {}
        for key, (known, most) in wanted.items():
            if most <= 0 or len(known) < 2:
                continue
            sequence = self._backend.predictor.find(known, set(found))
            if sequence is not None:
                found[sequence] = key
                asked[sequence] = (known[-1], most)
        if not asked:
            return {}
        guesses = self._backend.predictor.guess(asked, self._most_mass)
        return {found[sequence]: tokens for sequence, tokens in guesses.items() if tokens}

    def forget(self, key: Key) -> None:
        """Nothing is kept by candidate."""

    def close(self) -> None:
        """The backend closes the layer."""


def _last(followed: _Followed, length: int) -> list[Hidden]:
    """The hidden states that are left of `recent` with only `length` of the tokens."""
    missing = len(followed.tokens) - length
    return followed.recent[: len(followed.recent) - missing] if missing > 0 else list(followed.recent)


def _impossible(why: str) -> SwarmError:
    return invalid("speculation", f"speculation 'mtp' is not possible: {why}")

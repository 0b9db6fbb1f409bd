"""A toy language model with real KV bookkeeping, so that the engine can be tested without a GGUF.

The next token depends on every token that the sequence's cells really hold: a wrong copy, cut or position
changes the answer. Tokens are bytes; END ends the turn.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from random import Random

from services.inference_worker.backends.base import (
    Capacity,
    Mask,
    Outcome,
    Reuse,
    Row,
    Sampled,
    Sampler,
    SamplerSpec,
    Slice,
    Vocabulary,
)

END = 256
GREEDY = SamplerSpec(temperature=0.0)


class ToyModel:
    """Goes on with small letters; behind a key of `scripts` it says the value and ends its turn."""

    def __init__(self, scripts: Mapping[str, str] | None = None) -> None:
        self.scripts = {key.encode(): value.encode() for key, value in (scripts or {}).items()}

    def next(self, tokens: Sequence[int], random: Random | None = None, mask: Mask | None = None) -> int:
        token = self._next(tokens, random)
        if mask is None or allows(mask, token):
            return token
        allowed = [each for each in range(END + 1) if allows(mask, each)]
        return allowed[token % len(allowed)]

    def _next(self, tokens: Sequence[int], random: Random | None) -> int:
        text = bytes(token for token in tokens if token < END)
        for key, value in self.scripts.items():
            at = text.rfind(key)
            said = text[at + len(key) :]
            if at >= 0 and value.startswith(said):
                return value[len(said)] if len(said) < len(value) else END
        state = hashlib.blake2b(text, digest_size=8).digest()
        if random is not None:
            state = hashlib.blake2b(state + random.randbytes(8), digest_size=8).digest()
        return ord("a") + int.from_bytes(state, "little") % 26

    def answer(self, prompt: str, tokens: int, seed: int | None = None) -> str:
        """What the model says, computed without any engine; `seed` None: greedily."""
        random = None if seed is None else Random(seed)
        known = list(prompt.encode())
        said: list[int] = []
        while len(said) < tokens and (token := self.next(known, random)) != END:
            said.append(token)
            known.append(token)
        return bytes(said).decode("utf-8", "replace")


def allows(mask: Mask, token: int) -> bool:
    return bool(int(mask[token // 32]) >> token % 32 & 1)


class _Cell:
    def __init__(self, token: int) -> None:
        self.token = token


def _digest(cells: Sequence[_Cell]) -> str:
    return hashlib.blake2b(bytes(str([cell.token for cell in cells]), "ascii"), digest_size=8).hexdigest()


class FakeSampler:
    def __init__(self, backend: FakeBackend, spec: SamplerSpec) -> None:
        self._backend = backend
        self._random = Random(spec.seed) if spec.temperature > 0 else None
        self._alternatives = spec.top_logprobs or 0
        self.observed: list[int] = []
        self.closed = False

    def sample(self, row: Row, mask: Mask | None = None) -> Sampled:
        assert not self.closed
        token = self._backend.model.next(self._backend.rows[row], self._random, mask)
        others = [each for each in range(self._alternatives + 1) if each != token]
        top = [(token, -0.25), *((each, -2.0 - rank) for rank, each in enumerate(others))]
        return Sampled(token, -0.25, tuple(top[: self._alternatives]))

    def observe(self, tokens: Sequence[int]) -> None:
        assert not self.closed
        self.observed.extend(tokens)

    def replay(self, drawn: Sequence[Sampled]) -> None:
        assert not self.closed
        if self._random is not None:
            self._random.randbytes(8 * len(drawn))
        self.observed.extend(each.token for each in drawn)

    def close(self) -> None:
        assert not self.closed, "closed twice"
        self.closed = True


class FakeBackend:
    """`before_decode` is called with every batch before it is worked on; it may block or raise.

    `outputs` 0: any number. `rollback`: tokens of the last decode that can be cut off where partial_prefix
    is False.
    """

    def __init__(
        self,
        sequences: int = 4,
        cells: int = 1024,
        batch: int = 64,
        partial_prefix: bool = True,
        model: ToyModel | None = None,
        outputs: int = 0,
        rollback: int = 0,
        fingerprint: str = "f" * 64,
        chunk: int = 0,
    ) -> None:
        self.capacity = Capacity(
            sequences,
            cells,
            batch,
            Reuse.RANGES if partial_prefix else Reuse.WHOLE,
            outputs=outputs or batch,
            rollback=None if partial_prefix else rollback,
            chunk=chunk,
        )
        self.fingerprint = fingerprint
        self.vocabulary = Vocabulary(size=END + 1, bos="", eos="")
        self.model = model or ToyModel()
        self.before_decode: Callable[[Sequence[Slice]], None] = lambda slices: None
        self.outcomes: list[Outcome] = []
        """Outcomes to report for the next decodes instead of doing them."""
        self.batches: list[list[Slice]] = []
        self.interrupted = 0
        """Decodes that `interrupt` has ended early."""
        self.rows: dict[Row, list[int]] = {}
        self.samplers: list[FakeSampler] = []
        self.closed = False
        self.threads = 0
        """As `use_threads` said last; 0: never."""
        self._kv: list[list[_Cell]] = [[] for _ in range(sequences)]
        self._fed_last = [0] * sequences
        self._interrupted = False

    @property
    def cells_used(self) -> int:
        return len({id(cell) for cells in self._kv for cell in cells})

    def held(self, sequence: int) -> list[int]:
        return [cell.token for cell in self._kv[sequence]]

    def tokenize(self, text: str) -> list[int]:
        return list(text.encode())

    def piece(self, token: int) -> bytes:
        return b"" if token == END else bytes([token])

    def is_end(self, token: int) -> bool:
        return token == END

    def use_threads(self, count: int) -> None:
        self.threads = count

    def interrupt(self, wanted: bool) -> None:
        self._interrupted = wanted

    def calibrate(self) -> None:
        """There is nothing that it must know."""

    def decode(self, slices: Sequence[Slice]) -> Outcome:
        self.batches.append(list(slices))
        self.before_decode(slices)
        assert slices
        tokens = sum(len(each.tokens) for each in slices)
        assert tokens <= self.capacity.batch
        if self.outcomes:
            return self.outcomes.pop(0)
        for each in slices:
            assert each.position == len(self._kv[each.sequence]), "a sequence has a hole or an overlap"
            assert 0 <= each.outputs <= len(each.tokens)
        assert sum(each.outputs for each in slices) <= self.capacity.outputs
        if self.cells_used + tokens > self.capacity.cells:
            return Outcome.NO_ROOM
        if self._interrupted:
            # As in llama.cpp, a part of the batch may have been done.
            first = slices[0]
            self._kv[first.sequence].extend(_Cell(token) for token in first.tokens)
            self.interrupted += 1
            return Outcome.INTERRUPTED
        self.rows = {}
        row = -1
        for each in slices:
            self._kv[each.sequence].extend(_Cell(token) for token in each.tokens)
            self._fed_last[each.sequence] = len(each.tokens)
            row += len(each.tokens)
            held = self.held(each.sequence)
            for back in range(each.outputs):
                self.rows[row - back] = held[: len(held) - back]
        return Outcome.DONE

    def sampler(self, spec: SamplerSpec) -> Sampler:
        sampler = FakeSampler(self, spec)
        self.samplers.append(sampler)
        return sampler

    def copy(self, source: int, target: int, length: int) -> None:
        assert not self._kv[target], "the target of a copy must be empty"
        assert length <= len(self._kv[source])
        assert self.capacity.partial_prefix or length == len(self._kv[source])
        self._kv[target] = self._kv[source][:length]
        self._fed_last[target] = 0

    def can_cut(self, sequence: int, length: int) -> bool:
        held = len(self._kv[sequence])
        if self.capacity.partial_prefix or length in (0, held):
            return length <= held
        assert self.capacity.rollback is not None
        return 0 < held - length <= min(self.capacity.rollback, self._fed_last[sequence])

    def cut(self, sequence: int, length: int) -> bool:
        if not self.can_cut(sequence, length):
            return False
        del self._kv[sequence][length:]
        self._fed_last[sequence] = 0
        return True

    def save(self, sequence: int, start: int, end: int) -> bytes:
        cells = self._kv[sequence]
        assert 0 <= start < end <= len(cells)
        assert self.capacity.partial_prefix or (start, end) == (0, len(cells))
        tokens = [cell.token for cell in cells[start:end]]
        body = json.dumps([self.fingerprint, start, end, _digest(cells[:start]), tokens]).encode()
        return zlib.crc32(body).to_bytes(4, "big") + body

    def load(self, sequence: int, start: int, end: int, state: bytes) -> bool:
        cells = self._kv[sequence]
        assert len(cells) == start, "a state is loaded elsewhere than at the end"
        assert self.capacity.partial_prefix or start == 0
        if zlib.crc32(state[4:]) != int.from_bytes(state[:4], "big") or not state:
            return False
        fingerprint, *place, before, tokens = json.loads(state[4:])
        if place != [start, end] or self.cells_used + len(tokens) > self.capacity.cells:
            return False
        assert fingerprint == self.fingerprint, "a state of another model"
        assert before == _digest(cells), "a state is loaded behind other tokens than it was computed behind"
        cells.extend(_Cell(token) for token in tokens)
        self._fed_last[sequence] = 0
        return True

    def drop(self, sequence: int) -> None:
        self._kv[sequence] = []
        self._fed_last[sequence] = 0

    def close(self) -> None:
        self.closed = True

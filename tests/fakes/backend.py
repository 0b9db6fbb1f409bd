"""A toy language model with real KV bookkeeping, so that the engine can be tested without a GGUF.

The next token depends on every token that the sequence's cells really hold: a wrong copy, cut or position
changes the answer. Tokens are bytes; END ends the turn.
"""

from __future__ import annotations

import hashlib
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

    def next(self, tokens: Sequence[int], random: Random | None = None) -> int:
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


class _Cell:
    def __init__(self, token: int) -> None:
        self.token = token


class FakeSampler:
    def __init__(self, backend: FakeBackend, spec: SamplerSpec) -> None:
        self._backend = backend
        self._random = Random(spec.seed) if spec.temperature > 0 else None
        self.closed = False

    def sample(self, row: Row, mask: Mask | None = None) -> Sampled:
        assert not self.closed
        token = self._backend.model.next(self._backend.rows[row], self._random)
        return Sampled(token, -0.25)

    def close(self) -> None:
        assert not self.closed, "closed twice"
        self.closed = True


class FakeBackend:
    """`before_decode` is called with every batch before it is worked on; it may block or raise."""

    def __init__(
        self,
        sequences: int = 4,
        cells: int = 1024,
        batch: int = 64,
        partial_prefix: bool = True,
        model: ToyModel | None = None,
    ) -> None:
        self.capacity = Capacity(
            sequences, cells, batch, Reuse.RANGES if partial_prefix else Reuse.WHOLE
        )
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
        self._kv: list[list[_Cell]] = [[] for _ in range(sequences)]
        self._interrupted = False

    @property
    def cells_used(self) -> int:
        return len({id(cell) for cells in self._kv for cell in cells})

    def held(self, sequence: int) -> list[int]:
        return [cell.token for cell in self._kv[sequence]]

    def tokenize(self, text: str) -> list[int]:
        return list(text.encode())

    def piece(self, token: int) -> bytes:
        return bytes([token])

    def is_end(self, token: int) -> bool:
        return token == END

    def interrupt(self, wanted: bool) -> None:
        self._interrupted = wanted

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
            row += len(each.tokens)
            if each.outputs:
                assert each.outputs == 1
                self.rows[row] = self.held(each.sequence)
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

    def cut(self, sequence: int, length: int) -> bool:
        if length >= len(self._kv[sequence]):
            return True
        if not self.capacity.partial_prefix:
            return False
        del self._kv[sequence][length:]
        return True

    def drop(self, sequence: int) -> None:
        self._kv[sequence] = []

    def close(self) -> None:
        self.closed = True

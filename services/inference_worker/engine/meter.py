"""What the engine has done and where its time went. Written by the engine's thread only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import exp

# Seconds of work after which a measured speed has faded to a third.
_MEMORY = 10.0


@dataclass(slots=True)
class Seconds:
    """Where the time of all steps went. `python` is what is left: the engine's own bookkeeping."""

    decode: float = 0.0
    sample: float = 0.0
    emit: float = 0.0
    move: float = 0.0
    python: float = 0.0


@dataclass(slots=True)
class Speed:
    """Tokens per second over the last seconds of work."""

    _tokens: float = 0.0
    _seconds: float = 0.0

    def add(self, tokens: int, seconds: float) -> None:
        fade = exp(-seconds / _MEMORY)
        self._tokens = self._tokens * fade + tokens
        self._seconds = self._seconds * fade + seconds

    @property
    def per_second(self) -> float:
        return self._tokens / self._seconds if self._seconds > 0 else 0.0


@dataclass(slots=True)
class Meter:
    clock: Callable[[], float]
    seconds: Seconds = field(default_factory=Seconds)
    prefill: Speed = field(default_factory=Speed)
    decode: Speed = field(default_factory=Speed)
    steps: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    _spent: float = 0.0

    @contextmanager
    def step(self) -> Iterator[None]:
        """Everything that a step does; what the parts below do not claim is Python's."""
        started, self._spent = self.clock(), 0.0
        try:
            yield
        finally:
            self.seconds.python += max(0.0, self.clock() - started - self._spent)

    def spend(self, part: str, started: float) -> float:
        """Books the time since `started` on decode, sample, emit or move; returns it in seconds."""
        took = self.clock() - started
        setattr(self.seconds, part, getattr(self.seconds, part) + took)
        self._spent += took
        return took

    def decoded(self, prompt_tokens: int, stream_tokens: int, seconds: float) -> None:
        """One decode of so many tokens. A mixed step's time is shared out by the tokens."""
        self.steps += 1
        tokens = prompt_tokens + stream_tokens
        if tokens == 0:
            return
        if prompt_tokens:
            self.prefill.add(prompt_tokens, seconds * prompt_tokens / tokens)
        if stream_tokens:
            self.decode.add(stream_tokens, seconds * stream_tokens / tokens)

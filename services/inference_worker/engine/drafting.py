"""Guesses of the next tokens, which one decode verifies together. A wrong guess costs time, no answer."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import Protocol

from services.inference_worker.engine.scheduler import Key


class Drafter(Protocol):
    """Belongs to the engine's thread."""

    name: str
    """lookup, model or mtp."""

    def propose(self, wanted: Mapping[Key, tuple[array[int], int]]) -> Mapping[Key, Sequence[int]]:
        """For each candidate its known tokens (prompt and answer) and how many guesses are wanted at most.

        Fewer guesses or none may come back. Known tokens only grow between two calls for the same key.
        """
        ...

    def forget(self, key: Key) -> None:
        """The candidate is over."""
        ...

    def close(self) -> None: ...

"""The hook for constrained decoding: what may come next in one candidate's answer."""

from __future__ import annotations

from typing import Protocol

from services.inference_worker.backends.base import Mask


class Guide(Protocol):
    """One candidate's constraint. Called on the engine's thread, between two tokens: it must be quick."""

    def mask(self) -> Mask | None:
        """The tokens that may come next; None: any. Asked once before every token."""
        ...

    def accept(self, token: int, piece: bytes) -> None:
        """`token` was drawn and belongs to the answer; `piece` is what it stands for."""
        ...

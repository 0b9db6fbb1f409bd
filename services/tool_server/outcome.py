"""What a tool hands back."""

from __future__ import annotations

from dataclasses import dataclass

from services.common.errors import SwarmError


@dataclass(frozen=True, slots=True)
class Outcome:
    """`content` is what the model is told. `reason` is why the tool failed, a constant; empty: it did not.

    A command that ends with a code other than 0 has not failed as a tool: `exit_code` tells. `replayed`: it
    is that of an earlier run, out of the journal.
    """

    content: str
    reason: str = ""
    exit_code: int | None = None
    truncated: bool = False
    replayed: bool = False


def failed(error: SwarmError) -> Outcome:
    """The error in words that a model can act on."""
    return Outcome(f"Error: {error.message}", reason=error.reason)

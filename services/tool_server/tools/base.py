"""What a tool is to the rest of the tool server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from services.tool_server.outcome import Outcome
from services.tool_server.sessions import Session

Arguments = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Run:
    """One execution: where, for how many seconds at most, and who hears the output as it appears."""

    session: Session
    seconds: float
    on_output: Callable[[str], None]


class Tool(Protocol):
    """`parameters` is a JSON Schema; `run` is called only with arguments that fit it."""

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str: ...

    @property
    def parameters(self) -> Mapping[str, Any]: ...

    async def run(self, arguments: Arguments, run: Run) -> Outcome:
        """Raises SwarmError when the tool fails. Cancelling it ends what it has begun."""

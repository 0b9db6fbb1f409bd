"""What the decision needs of the world outside; `remote.py` and `members.py` provide it over gRPC."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from services.common.chat import ChatEvent, ChatRequest, ModelInfo, Tool, ToolCall


class Worker(Protocol):
    """One worker (or peer swarm) that answers."""

    @property
    def id(self) -> str: ...

    @property
    def name(self) -> str:
        """For people: Zeus, Nebula …"""

    @property
    def models(self) -> Sequence[ModelInfo]: ...

    @property
    def slots(self) -> int:
        """Sequences that it decodes together, at least 1."""

    @property
    def in_flight(self) -> int:
        """Candidates that this consensus has running there."""

    @property
    def usable(self) -> bool:
        """False from a refused connection until it is back."""

    def chat(self, request: ChatRequest, timeout: float) -> AsyncGenerator[ChatEvent, None]:
        """The worker's events, `Accepted` first. Closing the generator cancels the work there at once.

        `timeout` is in seconds. Raises SwarmError: what the worker said, or UNAVAILABLE when it is gone.
        """


class Directory(Protocol):
    """Who is there now."""

    @property
    def known(self) -> bool:
        """Whether anybody has told yet."""

    def workers(self) -> Sequence[Worker]:
        """All that are listed, also those that are away just now."""

    async def changed(self, until: float) -> bool:
        """Waits for a change of the list or of who is usable; False: none until then, in the loop's time."""

    def tool_server(self) -> ToolServer | None: ...


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """`content` is what the model is told."""

    content: str
    is_error: bool = False


class ToolServer(Protocol):
    def in_use(self) -> AbstractAsyncContextManager[None]:
        """It stays the one it is, at its address, while the body runs, even if discovery drops it."""

    async def tools(self, timeout: float) -> Sequence[Tool]:
        """Raises SwarmError, TOOL_SERVER_UNAVAILABLE when it cannot be reached."""

    async def execute(self, session_id: str, call: ToolCall, timeout: float, key: str = "") -> ToolOutcome:
        """Runs one call to its end; once for all attempts with the same `key`, if it has one. No retry here.

        Raises SwarmError: a refusal with the tool server's reason; TOOL_SERVER_UNAVAILABLE, CANCELLED or
        INTERNAL when the reply was lost, which does not say whether the tool ran.
        """

    async def back(self, timeout: float) -> bool:
        """Waits until it serves; False: it does not within `timeout` seconds."""

"""One tool call that runs once, although its reply may be lost: asked again with the same key, never anew."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from services.common.chat import ToolCall
from services.common.errors import Reason, SwarmError
from services.common.text import shorten
from services.consensus.ports import ToolOutcome, ToolServer

# How often one call is asked for at most, the first time included.
ATTEMPTS = 5
_SHOWN = 120
# The reply may be lost, and the tool may have run.
_LOST = (Reason.TOOL_SERVER_UNAVAILABLE, Reason.CANCELLED, Reason.INTERNAL)


async def execute_once(
    server: ToolServer,
    session_id: str,
    call: ToolCall,
    key: str,
    deadline: float,
    wait: float,
    on_lost: Callable[[], Awaitable[None]],
) -> ToolOutcome:
    """The outcome of the one run of `call`, or the tool server's word that it is unknown.

    Only this `server` knows the key, so no other is asked; it is waited for, `wait` seconds at most and not
    beyond `deadline` (in the loop's time). `on_lost` is called before each wait. Raises SwarmError: the tool
    server's refusal, and TOOL_SERVER_UNAVAILABLE, DEADLINE_EXCEEDED or INTERNAL, which then say that nobody
    knows whether the call took effect.
    """
    for attempt in range(ATTEMPTS):
        try:
            return await server.execute(session_id, call, _remaining(deadline), key)
        except SwarmError as error:
            if error.reason is Reason.DEADLINE_EXCEEDED:
                raise _unknown(error, call) from error
            if error.reason not in _LOST:
                raise
            if attempt == ATTEMPTS - 1:
                raise _unknown(error, call) from error
            await on_lost()
            if not await server.back(min(wait, _remaining(deadline))):
                raise _unknown(error, call) from error
    raise AssertionError("the last attempt returns or raises")


def _unknown(error: SwarmError, call: ToolCall) -> SwarmError:
    text = shorten(f"{call.name} {call.arguments_json}", _SHOWN)
    # Reason.CANCELLED would say that the client left.
    reason = Reason.TOOL_SERVER_UNAVAILABLE if error.reason is Reason.CANCELLED else error.reason
    return SwarmError(
        reason,
        f"Whether this call took effect is unknown, and it was not run again: {text}. {error.message}",
        retry_after=error.retry_after,
    )


def _remaining(deadline: float) -> float:
    return max(0.0, deadline - asyncio.get_running_loop().time())

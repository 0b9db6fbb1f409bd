"""One call from its text to its outcome. A tool that fails is an outcome, not an exception."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

import structlog

from services.common.chat import ToolCall
from services.common.errors import SwarmError
from services.tool_server.arguments import parse_arguments
from services.tool_server.outcome import Outcome, failed
from services.tool_server.sessions import Session
from services.tool_server.tools.base import Run
from services.tool_server.tools.registry import Registry

log = structlog.get_logger()


async def execute(
    registry: Registry, session: Session, call: ToolCall, seconds: float
) -> AsyncGenerator[str | Outcome, None]:
    """Output as it appears, then one Outcome. Closing or cancelling it ends the tool at once."""
    # Not bounded, because what is fed into it is: a tool streams no more than the output's limit.
    output: asyncio.Queue[str | None] = asyncio.Queue()
    task = asyncio.create_task(_run(registry, session, call, seconds, output.put_nowait))
    task.add_done_callback(lambda _: output.put_nowait(None))
    try:
        while (text := await output.get()) is not None:
            yield text
        yield task.result()
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _run(
    registry: Registry, session: Session, call: ToolCall, seconds: float, on_output: Callable[[str], None]
) -> Outcome:
    try:
        tool = registry.get(call.name)
        arguments = parse_arguments(call.name, call.arguments_json, tool.parameters)
        outcome = await tool.run(arguments, Run(session, seconds, on_output))
    except SwarmError as error:
        outcome = failed(error)
    log.info("tool", tool=call.name, session=session.id, reason=outcome.reason, exit_code=outcome.exit_code)
    return outcome

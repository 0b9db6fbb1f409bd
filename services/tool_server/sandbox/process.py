"""One command from start to end: its output, its exit code, and that nothing of it is left running."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import structlog

from services.common.errors import Reason, SwarmError
from services.tool_server.sandbox.base import Launch
from services.tool_server.sandbox.output import HeadTail, Streamed

_CHUNK = 1 << 16
# Once killed, a command is gone in milliseconds; beyond this something holds its output that we cannot kill.
_GRACE = 2.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Finished:
    """`exit_code` is None when the command was stopped; minus the signal's number when a signal ended it."""

    output: str
    exit_code: int | None
    truncated: bool


async def run(launch: Launch, seconds: float, limit: int, on_output: Callable[[str], None]) -> Finished:
    """Runs to the end, or for `seconds`, or until cancelled; then everything that it started is killed.

    stdout and stderr come as one, at most `limit` bytes of them; `on_output` gets them as they appear.
    Raises SwarmError TOOL_FAILED when it cannot be started, SANDBOX_UNAVAILABLE when the sandbox fails.
    """
    # In a task of its own, so that being cancelled at any moment, while it starts or while it is cleared
    # away, leaves nothing behind.
    stop = asyncio.Event()
    running = asyncio.create_task(_supervised(launch, seconds, limit, on_output, stop))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.gather(running, return_exceptions=True)
        raise


async def _supervised(
    launch: Launch, seconds: float, limit: int, on_output: Callable[[str], None], stop: asyncio.Event
) -> Finished:
    kept, streamed = HeadTail(limit), Streamed(limit)
    up: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def collect(output: asyncio.StreamReader) -> None:
        data = await _first_bytes(output, len(launch.ready))
        up.set_result(data == launch.ready)
        if not up.result():
            kept.feed(data)
        while data := await output.read(_CHUNK):
            kept.feed(data)
            if text := streamed.feed(data):
                on_output(text)
        if text := streamed.finish():
            on_output(text)

    async with _started(launch) as (process, output):
        collecting = asyncio.create_task(collect(output))
        exit_code = await _exit_code(process, seconds, stop)
        # Killed while it is still setting up, bubblewrap would leave its child behind.
        await asyncio.wait({up}, timeout=_GRACE)
        _kill(process)
        await asyncio.wait({collecting}, timeout=_GRACE)
        await process.wait()
        if not collecting.done():
            log.warning("something outlived its command", pid=process.pid)
            collecting.cancel()
    if not (up.done() and up.result()):
        raise SwarmError(
            Reason.SANDBOX_UNAVAILABLE,
            f"the sandbox did not start: {kept.text().strip() or 'no reason given'}",
        )
    return Finished(kept.text(), exit_code, kept.truncated)


async def _first_bytes(output: asyncio.StreamReader, count: int) -> bytes:
    try:
        return await output.readexactly(count)
    except asyncio.IncompleteReadError as error:
        return error.partial


async def _exit_code(process: asyncio.subprocess.Process, seconds: float, stop: asyncio.Event) -> int | None:
    """None: it has run for `seconds`, or was stopped."""
    ended = asyncio.create_task(process.wait())
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({ended, stopped}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    code = ended.result() if ended.done() else None
    ended.cancel()
    stopped.cancel()
    return code


def _kill(process: asyncio.subprocess.Process) -> None:
    """The whole group: in bubblewrap its death is that of the whole namespace."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@contextlib.asynccontextmanager
async def _started(launch: Launch) -> AsyncIterator[tuple[asyncio.subprocess.Process, asyncio.StreamReader]]:
    # A pipe of our own: asyncio's would make the end of the process wait for the end of its output,
    # which a child in the background may hold for ever.
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb", buffering=0) as pipe:
        try:
            process = await asyncio.create_subprocess_exec(
                *launch.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                cwd=launch.folder,
                env=launch.environment,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise SwarmError(Reason.TOOL_FAILED, f"the command could not be started: {error}") from error
        finally:
            os.close(write_end)
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        try:
            yield process, reader
        finally:
            transport.close()
            if process.returncode is None:
                _kill(process)

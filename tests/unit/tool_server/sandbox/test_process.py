"""The life of one command, without a sandbox around it."""

from __future__ import annotations

import asyncio
import os
import select
import time
from pathlib import Path

import pytest

from services.common.errors import Reason, SwarmError
from services.tool_server.sandbox.bare import Bare
from services.tool_server.sandbox.base import Launch
from services.tool_server.sandbox.process import Finished, run


async def _run(command: str, folder: Path, seconds: float = 20.0, limit: int = 1000) -> Finished:
    return await run(Bare().launch(command, folder, seconds), seconds, limit, lambda _: None)


def _gone(pid: int) -> bool:
    """Whether the process has ended, or ends now that it is killed; a zombie has."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([process], [], [], 5.0)[0])
    finally:
        os.close(process)


async def test_output_and_exit_code(tmp_path: Path) -> None:
    finished = await _run("echo out; echo err >&2; pwd; exit 7", tmp_path)
    assert finished == Finished(f"out\nerr\n{tmp_path}\n", 7, False)
    assert (await _run("kill -9 $$", tmp_path)).exit_code == -9


async def test_stdin_is_empty(tmp_path: Path) -> None:
    assert (await _run("cat; echo end", tmp_path)).output == "end\n"


async def test_output_comes_as_it_appears(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    heard: asyncio.Queue[str] = asyncio.Queue()
    launch = Bare().launch("echo first; read -r _ < go; echo second", tmp_path, 20)
    running = asyncio.create_task(run(launch, 20, 1000, heard.put_nowait))
    assert await asyncio.wait_for(heard.get(), 10) == "first\n"
    assert not running.done()
    await asyncio.to_thread((tmp_path / "go").write_text, "\n")
    assert await asyncio.wait_for(heard.get(), 10) == "second\n"
    assert (await running).output == "first\nsecond\n"


async def test_time_runs_out_for_a_group_that_ignores_sigterm(tmp_path: Path) -> None:
    command = "trap '' TERM; (trap '' TERM; echo $BASHPID; exec sleep 300) & echo $$; wait"
    started = time.monotonic()
    finished = await _run(command, tmp_path, seconds=0.5)
    assert time.monotonic() - started < 2.0
    assert finished.exit_code is None
    pids = [int(line) for line in finished.output.split()]
    assert len(pids) == 2
    assert all(_gone(pid) for pid in pids)


async def test_what_is_left_in_the_background_ends_with_the_command(tmp_path: Path) -> None:
    started = time.monotonic()
    finished = await _run("sleep 300 & echo $!", tmp_path)
    assert time.monotonic() - started < 1.5
    assert finished.exit_code == 0
    assert _gone(int(finished.output))


async def test_cancelling_kills_at_once(tmp_path: Path) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    launch = Bare().launch("echo $$; sleep 300", tmp_path, 300)
    running = asyncio.create_task(run(launch, 300, 1000, heard.put_nowait))
    pid = int(await asyncio.wait_for(heard.get(), 10))
    started = time.monotonic()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert time.monotonic() - started < 0.5
    assert _gone(pid)


async def test_a_flood_is_cut_and_does_not_slow_the_end(tmp_path: Path) -> None:
    finished = await _run("head -c 30000000 /dev/zero | tr '\\0' x; echo END", tmp_path, limit=2000)
    assert finished.exit_code == 0
    assert finished.truncated
    assert finished.output.endswith("xEND\n")
    assert len(finished.output) < 2100


async def test_what_cannot_be_started_is_told(tmp_path: Path) -> None:
    with pytest.raises(SwarmError) as caught:
        await run(Launch(("/no/such/program",), tmp_path, {}), 5, 1000, lambda _: None)
    assert caught.value.reason is Reason.TOOL_FAILED


async def test_a_sandbox_that_does_not_come_up_is_told_apart_from_a_command_that_fails(
    tmp_path: Path,
) -> None:
    for command in ("echo cannot mount >&2; exit 1", "exit 1"):
        launch = Launch(("/bin/bash", "-c", command), tmp_path, {}, ready=b"\0ready\0")
        with pytest.raises(SwarmError) as caught:
            await run(launch, 5, 1000, lambda _: None)
        assert caught.value.reason is Reason.SANDBOX_UNAVAILABLE
        assert ("cannot mount" if "echo" in command else "no reason given") in caught.value.message
    launch = Launch(("/bin/bash", "-c", "printf '\\0ready\\0up'; exit 1"), tmp_path, {}, ready=b"\0ready\0")
    assert await run(launch, 5, 1000, lambda _: None) == Finished("up", 1, False)


async def test_no_descriptors_are_left_open(tmp_path: Path) -> None:
    await _run("true", tmp_path)
    before = _descriptors()
    for _ in range(5):
        await _run("true", tmp_path)
    assert _descriptors() <= before


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))

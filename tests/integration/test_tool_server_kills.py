"""The tool server killed between execution and reply, over and over: no command runs twice.

Each command appends a line, so a second run cannot hide. SWARM_JOURNAL_KILLS sets how often it is killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.common.channel import open_channel
from services.common.chat import ToolCall
from services.consensus.once import execute_once
from services.consensus.remote import RemoteToolServer
from swarm.common.v1 import chat_pb2
from swarm.tools.v1 import tools_pb2, tools_pb2_grpc
from tests.fakes.swarm import request, swarm_of
from tests.fakes.tool_server_process import ToolServerProcess
from tests.fakes.worker import FakeWorker, bash, say

KILLS = int(os.environ.get("SWARM_JOURNAL_KILLS", "25"))
TIMEOUT = 30.0
# Seconds from the first sign of life to the kill, at most: about twice what a quick call takes to its reply.
WINDOW = 0.12
UNKNOWN = "the outcome of this call is unknown"


class Commands:
    """Commands that leave a line for each time they run, and knock before they end."""

    def __init__(self, folder: Path) -> None:
        self._lines = folder / "ran"
        self._lines.touch()
        self._door = folder / "door"
        os.mkfifo(self._door)
        # Both ends, so that neither side ever waits for the other.
        self._file = os.open(self._door, os.O_RDWR | os.O_NONBLOCK)
        self._knocks: asyncio.Queue[str] = asyncio.Queue()
        asyncio.get_running_loop().add_reader(self._file, self._read)

    def call(self, name: str, linger: float) -> ToolCall:
        command = (
            f"echo {name} >> {self._lines}; echo {name} > {self._door}; sleep {linger:.4f}; echo done {name}"
        )
        return ToolCall("c1", "bash", json.dumps({"command": command}))

    async def knock(self, name: str) -> None:
        async with asyncio.timeout(TIMEOUT):
            while await self._knocks.get() != name:
                pass

    def runs(self) -> Counter[str]:
        return Counter(self._lines.read_text().split())

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._file)
        os.close(self._file)

    def _read(self) -> None:
        for name in os.read(self._file, 1 << 16).decode().split():
            self._knocks.put_nowait(name)


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[ToolServerProcess]:
    process = ToolServerProcess(tmp_path)
    process.start()
    try:
        yield process
    finally:
        await process.kill()


@pytest.fixture
async def commands(tmp_path: Path) -> AsyncIterator[Commands]:
    commands = Commands(tmp_path)
    try:
        yield commands
    finally:
        commands.close()


@pytest.fixture
async def client(process: ToolServerProcess) -> AsyncIterator[RemoteToolServer]:
    client = RemoteToolServer(process.address)
    assert await client.back(TIMEOUT)
    try:
        yield client
    finally:
        await client.close()


async def told(client: RemoteToolServer, call: ToolCall, key: str) -> str:
    async def lost() -> None:
        pass

    until = asyncio.get_running_loop().time() + TIMEOUT
    return (await execute_once(client, "s", call, key, until, TIMEOUT, lost)).content


@pytest.mark.timeout(60 + 3 * KILLS)
async def test_killed_between_execution_and_reply_nothing_runs_twice(
    process: ToolServerProcess, commands: Commands, client: RemoteToolServer
) -> None:
    generator = random.Random(5)
    calls: dict[str, ToolCall] = {}
    answers: dict[str, str] = {}
    kinds: Counter[str] = Counter()
    for kill in range(KILLS):
        # One that is surely at it when the kill comes, and two that may be anywhere.
        lingers = {f"{kill}-held": 1.0}
        lingers |= {
            f"{kill}-{number}": generator.choice((0.0, generator.uniform(0, 0.03))) for number in (0, 1)
        }
        calls |= {name: commands.call(name, linger) for name, linger in lingers.items()}
        asked = {name: asyncio.create_task(told(client, calls[name], name)) for name in lingers}
        await commands.knock(f"{kill}-held")
        await asyncio.wait(asked.values(), timeout=generator.uniform(0, WINDOW))
        early = {name for name, task in asked.items() if task.done()}
        await process.kill()
        ran = commands.runs()
        assert f"{kill}-held" not in early
        process.start()
        for name, task in asked.items():
            answers[name] = await task
            if UNKNOWN in answers[name]:
                kinds["unknown"] += 1
            else:
                assert answers[name] == f"done {name}\n"
                # The second kind had run and was written down, and only its reply was lost.
                kinds["told before" if name in early else "told after" if ran[name] else "ran after"] += 1
        assert UNKNOWN in answers[f"{kill}-held"]
    print(f"{KILLS} kills, {len(calls)} calls: {dict(kinds)}")
    runs = commands.runs()
    assert max(runs.values()) == 1, "a command ran twice"
    assert process.starts == KILLS + 1
    for name, answer in answers.items():
        assert UNKNOWN in answer or runs[name] == 1, name
    # What was told stays what is told.
    for name in list(calls)[-30:]:
        assert await told(client, calls[name], name) == answers[name]
    assert commands.runs() == runs


async def test_a_reply_that_was_lost_on_its_way_is_given_again(
    process: ToolServerProcess, commands: Commands, client: RemoteToolServer
) -> None:
    call = commands.call("one", 0.0)
    execute = tools_pb2.ExecuteRequest(
        session_id="s",
        call=chat_pb2.ToolCall(id=call.id, name=call.name, arguments_json=call.arguments_json),
        idempotency_key="k",
    )
    for replayed in (False, True, True):
        async with open_channel(process.address) as channel:
            running = tools_pb2_grpc.ToolServiceStub(channel).Execute(execute, timeout=TIMEOUT)
            *outputs, last = [event async for event in running]
        assert (last.result.content, last.result.replayed) == ("done one\n", replayed)
        assert bool(outputs) is not replayed
        await process.kill()
        process.start()
        assert await client.back(TIMEOUT)
    assert commands.runs() == {"one": 1}


async def test_model_and_user_are_told_that_nobody_knows(
    process: ToolServerProcess, commands: Commands, client: RemoteToolServer, tmp_path: Path
) -> None:
    held = json.loads(commands.call("held", 1.0).arguments_json)["command"]
    worker = FakeWorker("Zeus").script(bash(held)).script(say("I cannot tell."))
    asked = request(model="local-swarm-agent", agent=True, tools=(), session_id="s")
    async with worker.running(), swarm_of(tmp_path, worker, process) as swarm:
        asking = asyncio.create_task(swarm.decide(asked))
        await commands.knock("held")
        await process.kill()
        process.start()
        answer = await asking
    assert commands.runs() == {"held": 1}
    assert UNKNOWN in worker.requests[1].messages[-1].content
    assert UNKNOWN in answer.reasoning()
    assert answer.content() == "I cannot tell."

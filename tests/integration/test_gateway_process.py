"""`python -m gateway` as a supervisor runs it: it starts, drains on SIGTERM, or says why it cannot start."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import httpx2
import pytest

from services.common.process import EXIT_CANNOT_START
from tests.fakes import consensus as fake

ASK = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "stream": True}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


async def start(home: Path, **chosen: object) -> Process:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SWARM_")}
    environment |= {f"SWARM_{name.upper()}": str(value) for name, value in chosen.items()}
    environment |= {"SWARM_HOME": str(home), "SWARM_CONFIG": "", "XDG_CONFIG_HOME": str(home)}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", env=environment, stdout=PIPE, stderr=PIPE
    )


async def log_until(process: Process, word: str) -> None:
    assert process.stderr is not None
    async with asyncio.timeout(30):
        async for line in process.stderr:
            if word in line.decode():
                return
    raise AssertionError(f"the gateway ended without {word!r} in its log")


async def ended(process: Process) -> tuple[int, str]:
    async with asyncio.timeout(30):
        _, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, err.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lets_the_answer_in_flight_end_and_the_process_too(
    tmp_path: Path, number: int
) -> None:
    consensus, go, port = fake.FakeConsensus(), asyncio.Event(), free_port()
    consensus.script = [fake.accepted(), go, *fake.words("done")[1:]]
    async with fake.serving(consensus) as address:
        process = await start(tmp_path, port=port, consensus_port=address.rpartition(":")[2], drain=10)
        await log_until(process, "serving")
        async with httpx2.AsyncClient() as client:
            url = f"http://127.0.0.1:{port}/v1/chat/completions"
            asked = asyncio.create_task(client.post(url, json=ASK))
            await consensus.asked.wait()
            process.send_signal(number)
            await log_until(process, "draining")
            go.set()
            answer = await asked
    assert answer.text.endswith("data: [DONE]\n\n")
    status, log = await ended(process)
    assert status == 0
    assert "stopped" in log
    assert "Traceback" not in log


async def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, err = await ended(await start(tmp_path, port=port))
    assert status == EXIT_CANNOT_START
    assert err.splitlines()[-1].startswith(f"gateway: cannot listen on 127.0.0.1:{port}")
    assert "Traceback" not in err


async def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    status, err = await ended(await start(tmp_path, max_body="many"))
    assert status == EXIT_CANNOT_START
    assert err.splitlines()[-1].startswith("gateway: max_body")
    assert "Traceback" not in err

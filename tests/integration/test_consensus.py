"""The consensus service over real gRPC among fake workers: votes, streaming, choices, models."""

from __future__ import annotations

from pathlib import Path

from tests.fakes.swarm import request, swarm_of
from tests.fakes.worker import FakeWorker, bash, say


async def test_the_leaders_call_stands_when_the_majority_agrees(tmp_path: Path) -> None:
    worker = FakeWorker("Zeus").script(bash("ls", call_id="leader"), bash("ls"), bash("rm x"))
    async with worker.running(), swarm_of(tmp_path, worker) as swarm:
        answer = await swarm.decide(request())
    assert answer.calls() == [("leader", "bash", '{"command": "ls"}')]
    assert answer.reason() == "tool_calls"


async def test_words(tmp_path: Path) -> None:
    worker = FakeWorker("Zeus").script(say("Hel", "lo"))
    async with worker.running(), swarm_of(tmp_path, worker) as swarm:
        answer = await swarm.decide(request(tools=()))
    assert answer.content() == "Hello"
    assert answer.kinds() == ["accepted", "content", "content", "candidate_finished", "ballots", "usage"]

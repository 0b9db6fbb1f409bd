"""A running swarm is asked where it listens, whatever the configuration of the moment says."""

from __future__ import annotations

import io
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from services.cli import main, opencode, status
from services.cli.pids import own_start
from services.cli.state import Files, ServiceState, SwarmState
from services.common.errors import Reason, SwarmError
from services.common.settings import Settings
from swarm.discovery.v1 import discovery_pb2
from swarm.inference.v1 import inference_pb2 as pb
from tests.fakes.discovery import FakeDiscovery
from tests.fakes.worker import FakeWorker

OTHER = "127.0.0.1:31999"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Of a swarm that was started with other ports than the configured ones."""
    services = {"discovery": ServiceState("ready", None, 0, OTHER)}
    files = Files(tmp_path)
    files.make()
    files.write(SwarmState(os.getpid(), own_start(), "m", 3, OTHER, "/", services=services))
    return tmp_path


def test_status_asks_the_discovery_that_runs(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def members(address: str) -> list[Any]:
        asked.append(address)
        return []

    monkeypatch.setattr(status, "_members", members)
    assert status.status(Settings(home=home), Console(file=io.StringIO())) == 0
    assert asked == [OTHER]


async def test_every_worker_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """One answers, one hangs, one is gone: each says so within the patience of one."""
    monkeypatch.setattr(status, "PATIENCE", 1.5)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{probe.getsockname()[1]}"
    async with (
        FakeDiscovery().running() as discovery,
        FakeWorker("Zeus").running() as zeus,
        FakeWorker("Hera").running() as hera,
    ):
        zeus.status.generated_tokens_total = 123
        hera.silent = True
        gone = discovery_pb2.Member(name="Nebula", address=nobody)
        discovery.publish(zeus.member, hera.member, gone)
        members, answers = await status._ask(discovery.address)
    assert [member.name for member in members] == ["Zeus", "Hera", "Nebula"]
    first, second, third = answers
    assert isinstance(first, pb.GetStatusResponse)
    assert (first.worker, first.generated_tokens_total) == ("Zeus", 123)
    assert isinstance(second, SwarmError)
    assert second.reason is Reason.DEADLINE_EXCEEDED
    assert isinstance(third, SwarmError)
    assert third.reason is Reason.UNAVAILABLE


def test_a_worker_that_does_not_answer_is_shown_as_such(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(discovery: str) -> Any:
        members = [discovery_pb2.Member(name=name, address=OTHER) for name in ("Zeus", "Hera")]
        return members, [pb.GetStatusResponse(slots_total=16), SwarmError(Reason.UNAVAILABLE, "no way there")]

    monkeypatch.setattr(status, "_ask", ask)
    text = io.StringIO()
    assert status.status(Settings(home=home), Console(file=text, width=120)) == 0
    assert f"Zeus at {OTHER}" in text.getvalue()
    assert "0 of 16 busy" in text.getvalue()
    assert f"Hera at {OTHER} does not answer: no way there" in text.getvalue()


def test_it_says_what_told_a_models_tool_format(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(discovery: str) -> Any:
        told = pb.ModelInfo(id="m", tool_format="glm4", tool_format_source="printed by the template")
        untold = pb.ModelInfo(id="n", tool_format="kimi_k2")
        return [discovery_pb2.Member(name="Zeus", models=[told, untold])], [pb.GetStatusResponse()]

    monkeypatch.setattr(status, "_ask", ask)
    text = io.StringIO()
    assert status.status(Settings(home=home), Console(file=text, width=160)) == 0
    assert "glm4 (printed by the template)" in text.getvalue()
    assert "kimi_k2 (" not in text.getvalue()


def test_a_discovery_that_does_not_answer_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "PATIENCE", 0.3)
    text = io.StringIO()
    assert status.status(Settings(home=home), Console(file=text, width=120)) == 0
    assert "Discovery does not answer" in text.getvalue()


def test_opencode_is_pointed_at_the_gateway_that_runs(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(opencode, "served_models", lambda url: asked.append(url) or [])
    monkeypatch.setenv("SWARM_HOME", str(home))
    CliRunner().invoke(main.app, ["opencode"])
    assert asked == [f"http://{OTHER}/v1"]

"""A running swarm is asked where it listens, whatever the configuration of the moment says."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from services.cli import main, opencode, status
from services.cli.pids import own_start
from services.cli.state import Files, ServiceState, SwarmState
from services.common.settings import Settings

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


def test_opencode_is_pointed_at_the_gateway_that_runs(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(opencode, "served_models", lambda url: asked.append(url) or [])
    monkeypatch.setenv("SWARM_HOME", str(home))
    CliRunner().invoke(main.app, ["opencode"])
    assert asked == [f"http://{OTHER}/v1"]

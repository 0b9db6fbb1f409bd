"""What an ended swarm left is cleared away, and only that."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.cli import down, locks, pids
from services.cli.state import Files, ServiceState, SwarmState
from services.common.errors import SwarmError

SLEEPER = [sys.executable, "-c", "import signal; signal.pause()"]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    files = Files(tmp_path)
    files.make()
    return files


def test_what_killed_processes_left_is_removed(files: Files) -> None:
    for path in (files.lock, files.starting):
        os.close(locks.take(path))
    files.write(SwarmState(os.getpid(), 0.0, "m", 3, "127.0.0.1:1", "/"))
    assert down.stop(files, 0) is False
    assert list(files.run.iterdir()) == []


def test_a_supervisor_that_does_not_tell_itself_is_told_of(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(down, "SUPERVISOR_PATIENCE", 0.0)
    descriptor = locks.take(files.lock)
    with pytest.raises(SwarmError, match="lock"):
        down.stop(files, 0)
    assert files.lock.exists()
    os.close(descriptor)


def test_services_of_a_supervisor_that_was_killed_while_stopping_are_ended(files: Files) -> None:
    leader, service, other = (subprocess.Popen(SLEEPER) for _ in range(3))
    services = {
        "worker": ServiceState("ready", service.pid, 0, "127.0.0.1:1", started=pids.start_of(service.pid)),
        "gateway": ServiceState("ready", other.pid, 0, "127.0.0.1:2", started=0.0),
    }
    start = pids.start_of(leader.pid)
    assert start is not None
    files.write(SwarmState(leader.pid, start, "m", 3, "127.0.0.1:2", "/", services=services))
    assert down.stop(files, 0) is True
    assert (leader.wait(), service.wait()) == (-15, -9)
    assert other.poll() is None, "a pid that somebody else has now"
    other.kill()
    other.wait()
    assert list(files.run.iterdir()) == []

"""What the supervisor tells survives the file, and the dead are not taken for running."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.cli.pids import own_start
from services.cli.state import Files, ServiceState, SwarmState
from services.common.errors import SwarmError


def state(pid: int, started: float, **more: object) -> SwarmState:
    services = {"gateway": ServiceState("ready", 5, 1, "127.0.0.1:1")}
    values = {"model": "m", "instances": 3, "gateway": "127.0.0.1:1", "root": "/", "services": services}
    return SwarmState(pid=pid, started=started, **{**values, **more})  # type: ignore[arg-type]


def test_the_state_comes_back_as_it_was_told(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.make()
    told = state(os.getpid(), own_start())
    files.write(told)
    assert files.read() == told
    assert files.running() == told
    assert (files.run.stat().st_mode & 0o777) == 0o700


def test_a_dead_supervisor_is_not_running_unless_one_stands_by(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.make()
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    files.write(state(child.pid, 0.0))
    assert files.running() is None
    files.write(state(child.pid, 0.0, standby_pid=os.getpid(), standby_started=own_start()))
    assert files.running() is not None


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SwarmError, match="file/home"):
        Files(tmp_path / "file" / "home").make()


def test_garbage_is_no_state(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.make()
    for text in ("", "[]", "{}", '{"services": {"x": {"y": 1}}}', "null", "7"):
        files.state.write_text(text)
        assert files.read() is None
    files.clear()
    assert files.read() is None

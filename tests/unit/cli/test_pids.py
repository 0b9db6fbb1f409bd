"""A process is known by its pid and its start, whatever the clock says; one that nobody reaps is gone too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from services.cli import pids


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    yield process
    process.kill()
    process.wait()


def test_a_reused_pid_is_not_ours() -> None:
    assert pids.alive(os.getpid(), pids.own_start())
    assert not pids.alive(os.getpid(), pids.own_start() - 100)
    assert not pids.alive(os.getpid(), None)
    assert not pids.alive(None, 0.0)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells starts by a clock that nobody sets")
def test_a_clock_that_is_set_changes_no_start(monkeypatch: pytest.MonkeyPatch) -> None:
    started = pids.own_start()
    boot = psutil.boot_time() + 3600
    monkeypatch.setattr(psutil, "boot_time", lambda: boot)
    monkeypatch.setattr(psutil._pslinux, "boot_time", lambda: boot)
    assert pids.alive(os.getpid(), started)


def test_a_zombie_that_nobody_reaps_is_gone(child: subprocess.Popen[bytes]) -> None:
    started = pids.start_of(child.pid)
    before = time.monotonic()
    pids.end(child.pid, started, signal.SIGKILL, 30)
    assert time.monotonic() - before < 10
    assert psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE
    assert not pids.alive(child.pid, started)


def test_who_does_not_listen_is_killed() -> None:
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as deaf:
        assert deaf.stdout is not None
        deaf.stdout.readline()
        pids.end(deaf.pid, pids.start_of(deaf.pid), signal.SIGTERM, 0.2)
        assert deaf.wait() == -signal.SIGKILL


def test_who_is_somebody_else_is_left_alone(child: subprocess.Popen[bytes]) -> None:
    pids.end(child.pid, (pids.start_of(child.pid) or 0.0) - 1, signal.SIGKILL, 1)
    assert child.poll() is None

"""Our whole stack as real processes: a temporary home, free ports, `swarm up` and `swarm down`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from services.cli import health
from services.cli.bootstrap import ROOT
from tests.bench.client import BenchError, Endpoint
from tests.bench.setting import Setting

_PATIENCE = 300.0
_PAUSE = 0.05


def free_ports(count: int) -> int:
    """The first of `count` neighbouring ports of loopback that are free."""
    for first in range(23_000 + os.getpid() % 2_000, 60_000, 10):
        taken = []
        try:
            for port in range(first, first + count):
                each = socket.socket()
                taken.append(each)
                each.bind(("127.0.0.1", port))
        except OSError:
            continue
        else:
            return first
        finally:
            for each in taken:
                each.close()
    raise BenchError(f"no {count} neighbouring ports are free")


def until(condition: Callable[[], Any], what: str, seconds: float = _PATIENCE) -> Any:
    """Polls what cannot be waited for in another way. Raises BenchError naming what did not come."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(_PAUSE)
    raise BenchError(f"{what} did not come within {seconds:g} s")


def clean_environment() -> dict[str, str]:
    """The caller's environment without settings of a swarm of its own."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SWARM_")}
    return {**kept, "SWARM_CONFIG": os.devnull}


class Stack:
    """A swarm of this checkout with one model; `with Stack(…) as stack` runs it."""

    def __init__(self, setting: Setting, name: str = "ours", **settings: str | int) -> None:
        """`settings` are further keys of the configuration, as in `speculation="off"`."""
        self.port = free_ports(5)
        self.endpoint = Endpoint(name, self.port, "local-swarm")
        self._home = Path(tempfile.mkdtemp(prefix="swarm-bench-"))
        given: dict[str, str | int | Path] = {
            "home": self._home,
            "port": self.port,
            "model": setting.model,
            "instances": 1,
            "context": setting.cells,
            "slots": setting.slots,
            "threads": setting.threads,
            "kv_type": "f16",
            "flash_attention": "on",
            **settings,
        }
        self._environment = {
            **clean_environment(),
            **{f"SWARM_{key.upper()}": str(value) for key, value in given.items()},
        }

    def __enter__(self) -> Stack:
        try:
            self._command("up")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._command("down")
        finally:
            shutil.rmtree(self._home, ignore_errors=True)

    def worker(self) -> psutil.Process:
        return psutil.Process(self._service("worker")["pid"])

    def restart_worker(self) -> None:
        """Ends the worker as a service manager would, and waits for the one that takes its place."""
        old = self._service("worker")["pid"]
        os.kill(old, signal.SIGTERM)
        until(lambda: self._service("worker")["pid"] not in (None, old), "a new worker")
        until(lambda: self._service("worker")["state"] == "ready", "a ready worker")
        until(lambda: health.http_json(f"http://127.0.0.1:{self.port}/health")[0] == 200, "a ready swarm")

    def _service(self, name: str) -> Mapping[str, Any]:
        state = json.loads((self._home / "run" / "state.json").read_text(encoding="utf-8"))
        found: Mapping[str, Any] = state["services"][name]
        return found

    def _command(self, verb: str) -> None:
        done = subprocess.run(
            [str(Path(sys.executable).with_name("swarm")), verb],
            env=self._environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
        if done.returncode != 0:
            raise BenchError(f"swarm {verb} failed:\n{done.stdout}{done.stderr}")

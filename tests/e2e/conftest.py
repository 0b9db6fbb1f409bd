"""A whole swarm of real processes, started as a user starts it, in a home and on ports of its own."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
SWARM = Path(sys.executable).with_name("swarm")
OPENCODE = ROOT / "tests" / "tools" / "opencode" / "node_modules" / ".bin" / "opencode"
START_PATIENCE = 120.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(item.path).is_relative_to(ROOT / "tests" / "e2e"):
            item.add_marker(pytest.mark.e2e)


def need(condition: bool, what: str) -> None:
    """A tool that a test needs: missing, it is said loudly; where CI=true it is a failure."""
    if condition:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing (tests/tools/install should have brought it)")
    pytest.skip(f"NOT TESTED: {what} is missing; run tests/tools/install")


def free_port_range(count: int = 5) -> int:
    """The first of `count` neighbouring free ports on loopback."""
    for first in range(21000 + os.getpid() % 2000, 60000, 10):
        sockets = []
        try:
            for port in range(first, first + count):
                each = socket.socket()
                sockets.append(each)
                each.bind(("127.0.0.1", port))
        except OSError:
            continue
        else:
            return first
        finally:
            for each in sockets:
                each.close()
    raise AssertionError("no free ports")


def until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Polls processes that cannot be waited for in another way; fails naming what did not come."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come within {seconds} s")


@dataclass
class Swarm:
    """A home, its ports and the commands of a user."""

    home: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("SWARM_")}
        return {**kept, "SWARM_HOME": str(self.home), "SWARM_PORT": str(self.port)}

    def command(self, *arguments: str, timeout: float = START_PATIENCE) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(SWARM), *arguments],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def up(self, *arguments: str) -> str:
        result = self.command("up", *arguments)
        assert result.returncode == 0, f"{result.stdout}\n{result.stderr}\n{self.log_tails()}"
        return result.stdout

    def down(self) -> str:
        result = self.command("down")
        assert result.returncode == 0, result.stderr
        return result.stdout

    def state(self) -> dict[str, Any]:
        return dict(json.loads((self.home / "run" / "state.json").read_text()))

    def processes(self) -> dict[str, int]:
        """Every process of the swarm by name, supervisor and stand-by included."""
        state = self.state()
        found = {name: each["pid"] for name, each in state["services"].items()}
        return {"supervisor": state["pid"], "standby": state["standby_pid"], **found}

    def get(self, path: str, timeout: float = 5.0) -> tuple[int, Any]:
        return request("GET", f"http://127.0.0.1:{self.port}{path}", None, timeout)

    def post(self, path: str, body: Any, timeout: float = 60.0) -> tuple[int, Any]:
        return request("POST", f"http://127.0.0.1:{self.port}{path}", body, timeout)

    def ask(self, text: str, **more: Any) -> tuple[int, Any]:
        body = {"model": "local-swarm", "messages": [{"role": "user", "content": text}], **more}
        return self.post("/v1/chat/completions", body)

    def log_tails(self) -> str:
        return "\n".join(
            f"--- {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-15:])
            for path in sorted((self.home / "logs").glob("*.log"))
        )


def request(method: str, url: str, body: Any, timeout: float) -> tuple[int, Any]:
    """(status, JSON); status 0 when nobody answers."""
    data = None if body is None else json.dumps(body).encode()
    call = urllib.request.Request(url, data=data, method=method, headers={"content-type": "application/json"})
    try:
        with urllib.request.urlopen(call, timeout=timeout) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
    except OSError:
        return 0, None


def swarm_processes(home: Path) -> list[psutil.Process]:
    """Everything on this machine that runs with this home."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("SWARM_HOME") == str(home) and process.pid != os.getpid():
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


@pytest.fixture(scope="session")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    """One swarm with the built-in model for all tests that do not stop or break it."""
    swarm = Swarm(tmp_path_factory.mktemp("swarm"), free_port_range())
    try:
        swarm.up()
        yield swarm
    finally:
        swarm.down()


@pytest.fixture
def own_swarm(tmp_path: Path) -> Iterator[Swarm]:
    """A swarm of the test's own, not yet started; it is stopped afterwards whatever happened."""
    swarm = Swarm(tmp_path / "home", free_port_range())
    try:
        yield swarm
    finally:
        swarm.command("down")
        for process in swarm_processes(swarm.home):
            process.kill()


@dataclass
class OpenCodeRun:
    """What `opencode run --format json` told: tools that ran, and the text of the answer."""

    tools: list[dict[str, Any]]
    text: str
    raw: str


class OpenCode:
    """The real OpenCode, silent on the network, with a home of its own."""

    def __init__(self, folder: Path, home: Path, config: Path) -> None:
        """`folder` and `home` are made; `config` is an opencode.json."""
        need(OPENCODE.exists() and shutil.which("node") is not None, "OpenCode")
        self.folder = folder
        self.home = home
        self.config = config
        folder.mkdir()
        home.mkdir()

    def run(self, prompt: str, *options: str) -> OpenCodeRun:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "XDG_DATA_HOME": str(self.home / "data"),
            "XDG_STATE_HOME": str(self.home / "state"),
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "OPENCODE_CONFIG": str(self.config),
            "OPENCODE_DISABLE_MODELS_FETCH": "1",
            "OPENCODE_DISABLE_AUTOUPDATE": "1",
            "npm_config_offline": "true",
        }
        result = subprocess.run(
            [str(OPENCODE), "run", "--format", "json", *options, prompt],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        tools: list[dict[str, Any]] = []
        text = ""
        for line in result.stdout.splitlines():
            event = json.loads(line)
            part = event.get("part", {})
            if part.get("type") == "tool":
                tools.append(part)
            elif part.get("type") == "text":
                text += part["text"]
        raw = f"{prompt}\n{result.stdout}\n{result.stderr}"
        assert result.returncode == 0, raw
        return OpenCodeRun(tools, text, raw)


@pytest.fixture
def opencode(swarm: Swarm, tmp_path: Path) -> OpenCode:
    return OpenCode(tmp_path / "project", tmp_path / "home", swarm.home / "opencode.json")

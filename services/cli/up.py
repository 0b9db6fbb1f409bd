"""`swarm up`: starts the supervisor, shows what happens until the swarm is ready, and says how to use it."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any, get_args

import psutil
from rich.console import Console

from services.cli import health, locks, opencode
from services.cli.down import POLL, SUPERVISOR_PATIENCE, patience, stop
from services.cli.lifecycle import State
from services.cli.state import Files, SwarmState
from services.cli.supervisor import spawn
from services.common.errors import Reason, SwarmError
from services.common.settings import ServiceName, Settings

# Attached, it asks for days.
ATTACHED_POLL = 0.5


def taken_ports(settings: Settings) -> list[str]:
    """A line for each of our ports that somebody else listens on."""
    wanted = {int(settings.address(name).rpartition(":")[2]): name for name in get_args(ServiceName)}
    lines = []
    for connection in _listeners():
        name = wanted.pop(connection.laddr.port, None)
        if name is None:
            continue
        who = "another program"
        if connection.pid is not None:
            try:
                who = f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.NoSuchProcess:
                continue
        lines.append(f"port {connection.laddr.port} ({name}) is taken by {who}")
    return lines


def _listeners() -> Iterator[Any]:
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:  # macOS without root: the services name the port themselves
        return
    yield from (each for each in connections if each.status == psutil.CONN_LISTEN)


def up(settings: Settings, *, foreground: bool, console: Console) -> int:
    """Returns the exit status; 0 when the swarm is ready (or was already)."""
    files = Files(settings.home)
    files.make()
    leader: subprocess.Popen[bytes] | None = None
    if foreground:
        # Who ends this process, be it a service manager or a closed terminal, means the swarm.
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler)
    try:
        with locks.turn(files.starting, lambda: console.print("Another start is under way; waiting for it.")):
            running = files.running()
            if running is not None:
                return _adopt(running, files, settings, console)
            leader = _start(files, settings, console)
            state = _wait_until_ready(files, lambda: leader.poll() is None, console)
        console.print(ready_text(state, settings), highlight=False, soft_wrap=True)
        if foreground:
            console.print("In the foreground: Ctrl-C stops the swarm.")
            _stay(files)
    except (KeyboardInterrupt, SwarmError) as error:
        if leader is not None:
            _give_up(leader, files, settings.drain)
            console.print("Stopped.")
        if isinstance(error, KeyboardInterrupt):
            return 130
        raise
    return 0


def _start(files: Files, settings: Settings, console: Console) -> subprocess.Popen[bytes]:
    """The new supervisor. Raises SwarmError UNAVAILABLE naming ports that are taken."""
    if lines := taken_ports(settings):
        raise SwarmError(
            Reason.UNAVAILABLE,
            "; ".join(lines) + ". Stop it, or take other ports: make up PORT=27615 SWARM_HOME=~/other-swarm",
        )
    # What an earlier run left behind would be read as this one's state.
    files.state.unlink(missing_ok=True)
    console.print(f"Starting the swarm: model {settings.model}, logs in {files.logs}")
    return spawn(settings, files)


def _give_up(leader: subprocess.Popen[bytes], files: Files, drain: float) -> None:
    """Ends a supervisor of our own, also one that has not told its state yet, and what took over from it."""
    leader.terminate()
    try:
        leader.wait(patience(drain))
    except subprocess.TimeoutExpired:
        leader.kill()
        leader.wait()
    stop(files, drain)


def _stay(files: Files) -> None:
    """Until the swarm is down, whoever leads it meanwhile."""
    while files.running() is not None:
        time.sleep(ATTACHED_POLL)


def _adopt(state: SwarmState, files: Files, settings: Settings, console: Console) -> int:
    if (state.model, state.instances) != (settings.model, settings.instances):
        raise SwarmError(
            Reason.UNAVAILABLE,
            f"a swarm runs already at http://{state.gateway} with model {state.model} and {state.instances} "
            "candidates. `make down` stops it; another one beside it needs its own SWARM_HOME and PORT.",
        )
    console.print("The swarm is up already.")
    state = _wait_until_ready(files, lambda: files.running() is not None, console)
    console.print(ready_text(state, settings), highlight=False, soft_wrap=True)
    return 0


def _wait_until_ready(files: Files, runs: Callable[[], bool], console: Console) -> SwarmState:
    """`runs` tells whether the supervisor is there. Raises SwarmError UNAVAILABLE when it ends meanwhile."""
    started = time.monotonic()
    first = files.read()
    shown = {name: each.state for name, each in first.services.items()} if first else {}
    progress = WorkerProgress(files)
    while True:
        state = files.read()
        if state is None:
            if not runs() or time.monotonic() - started > SUPERVISOR_PATIENCE:
                raise SwarmError(
                    Reason.UNAVAILABLE, f"the supervisor did not start; see {files.log('supervisor')}"
                )
            time.sleep(POLL)
            continue
        for name, service in state.services.items():
            if service.state == State.FAILED:
                raise SwarmError(Reason.UNAVAILABLE, f"{name} {service.detail}: {last_words(files, name)}")
            if service.state == State.READY and shown.get(name) != service.state:
                console.print(f"  {name:<12} ready on {service.address}", highlight=False)
            shown[name] = service.state
        progress.show(console)
        if state.services and all(each.state == State.READY for each in state.services.values()):
            status, _ = health.http_json(f"http://{state.gateway}/health")
            if status == 200:
                return state
        if not runs():
            raise SwarmError(Reason.UNAVAILABLE, f"the supervisor ended; see {files.log('supervisor')}")
        time.sleep(POLL)


class WorkerProgress:
    """Follows the worker's log and shows how far loading or downloading a model has come."""

    def __init__(self, files: Files) -> None:
        self._path = files.log("worker")
        self._offset = self._path.stat().st_size if self._path.exists() else 0
        self._shown = 0.0

    def show(self, console: Console) -> None:
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                lines = file.read().splitlines(keepends=True)
        except FileNotFoundError:
            return
        for line in lines:
            if not line.endswith(b"\n"):
                break
            self._offset += len(line)
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and str(event.get("event", "")).startswith("model."):
                self._print(event, console)

    def _print(self, event: dict[str, Any], console: Console) -> None:
        done, total = event.get("done"), event.get("total")
        if isinstance(done, int) and isinstance(total, int) and total:
            if done < total and time.monotonic() - self._shown < 1.0:
                return
            self._shown = time.monotonic()
            console.print(
                f"  {event['event']}: {done / 1e6:,.0f} of {total / 1e6:,.0f} MB ({100 * done // total} %)"
            )
        else:
            console.print(f"  {event['event']}", highlight=False)


def last_words(files: Files, service: str) -> str:
    """The line that a service printed before it gave up (its plain line, not the JSON log)."""
    try:
        lines = files.log(service).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "it left no log"
    plain = [line for line in lines[-50:] if line.strip() and not line.startswith("{")]
    return (plain or lines or ["it left no log"])[-1].removeprefix(f"{service}: ")


def ready_text(state: SwarmState, settings: Settings) -> str:
    """The ready line: where, which model, how many candidates, and how OpenCode is pointed at it."""
    url = f"http://{state.gateway}/v1"
    models = opencode.served_models(url)
    names = ", ".join(model["id"] for model in models if not model["id"].startswith("local-swarm"))
    path = opencode.write(settings.home, url, models)
    lines = [
        "",
        f"Ready: {url}   model {names or state.model}   {state.instances} candidates",
        f"  OpenCode:  OPENCODE_CONFIG={path} opencode",
        f"  curl:      curl {url}/models",
    ]
    if settings.model == "built-in":
        lines.append(
            "  The built-in model is a small demonstration: it calls tools, reads their results, no more."
        )
    return "\n".join(lines)

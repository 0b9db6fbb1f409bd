"""The swarm's life as a user sees it: up, up again, killed, taken ports, bad models, down."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, SWARM, Swarm, free_port_range, swarm_processes, until


def test_up_says_all_a_newcomer_needs_and_down_leaves_nothing(own_swarm: Swarm) -> None:
    text = own_swarm.up()
    assert f"Ready: {own_swarm.url}" in text
    assert "3 candidates" in text
    assert "OPENCODE_CONFIG=" in text
    assert "demonstration" in text
    assert own_swarm.get("/health")[0] == 200
    assert own_swarm.get("/v1/health")[0] == 200

    again = own_swarm.up()
    assert "up already" in again
    other = own_swarm.command("up", "--instances", "5")
    assert other.returncode == 1
    assert "make down" in other.stderr

    status = own_swarm.command("status")
    assert status.returncode == 0
    for name in ("gateway", "consensus", "worker", "discovery", "tool_server"):
        assert name in status.stdout

    assert "down" in own_swarm.down()
    assert swarm_processes(own_swarm.home) == []
    assert not list((own_swarm.home / "run").iterdir())
    assert own_swarm.command("status").returncode == 3
    assert "No swarm" in own_swarm.down()
    # What the user's prompts may show up in is for the user alone.
    assert stat.S_IMODE((own_swarm.home / "logs").stat().st_mode) == 0o700


def test_two_swarms_live_on_one_box(swarm: Swarm, own_swarm: Swarm) -> None:
    own_swarm.up()
    assert own_swarm.port != swarm.port
    for each in (swarm, own_swarm):
        assert each.ask("hello", max_tokens=8)[0] == 200


@pytest.mark.parametrize(
    "victim", ["gateway", "consensus", "worker", "discovery", "tool_server", "supervisor", "standby"]
)
def test_any_killed_process_is_back_within_five_seconds(swarm: Swarm, victim: str) -> None:
    before = until(lambda: _whole(swarm), 10, "a whole swarm")
    pid = before[victim]
    os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()

    def back() -> bool:
        now = _whole(swarm)
        if now is None or pid in now.values():
            return False
        return swarm.get("/health")[0] == 200

    until(back, 5.0, f"{victim} after kill -9")
    assert time.monotonic() - killed <= 5.0
    status, body = swarm.ask("hello", max_tokens=8)
    assert status == 200, body
    status, body = swarm.post(
        "/v1/chat/completions",
        {"model": "local-swarm-agent", "messages": [{"role": "user", "content": "Run echo alive"}]},
    )
    assert status == 200, body


def _whole(swarm: Swarm) -> dict[str, int] | None:
    """All pids when every service is ready."""
    try:
        state = swarm.state()
    except (OSError, ValueError):
        return None
    if any(each["state"] != "ready" for each in state["services"].values()) or not state["standby_pid"]:
        return None
    found = swarm.processes()
    return found if all(_exists(pid) for pid in found.values()) else None


def _exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_a_taken_port_is_named(own_swarm: Swarm) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", own_swarm.port + 2))
        taken.listen()
        result = own_swarm.command("up")
    assert result.returncode == 1
    assert f"port {own_swarm.port + 2} (consensus) is taken by" in result.stderr
    assert str(os.getpid()) in result.stderr
    assert swarm_processes(own_swarm.home) == []


def _bad_models(folder: Path) -> dict[str, tuple[Path, str]]:
    whole = (ROOT / "deploy" / "built_in_model" / "swarm-demo.gguf").read_bytes()
    text, short, empty = folder / "text.gguf", folder / "short.gguf", folder / "empty.gguf"
    text.write_text("this is no model\n" * 100)
    short.write_bytes(whole[: len(whole) // 2])
    empty.write_bytes(b"")
    return {
        "no GGUF": (text, "GGUF"),
        "cut short": (short, "short"),
        "empty": (empty, "GGUF"),
        "missing": (folder / "missing.gguf", "missing.gguf"),
    }


@pytest.mark.parametrize("kind", ["no GGUF", "cut short", "empty", "missing"])
def test_a_bad_model_file_is_an_error_in_words(own_swarm: Swarm, tmp_path: Path, kind: str) -> None:
    path, word = _bad_models(tmp_path)[kind]
    result = own_swarm.command("up", "--model", str(path))
    assert result.returncode == 1
    assert word in result.stderr
    assert "Traceback" not in result.stderr
    assert swarm_processes(own_swarm.home) == []


def test_a_model_is_served_from_a_path(own_swarm: Swarm, tmp_path: Path) -> None:
    path = tmp_path / "my-own.gguf"
    path.write_bytes((ROOT / "deploy" / "built_in_model" / "swarm-demo.gguf").read_bytes())
    assert "my-own" in own_swarm.up("--model", str(path))
    assert (
        own_swarm.post(
            "/v1/chat/completions", {"model": "my-own", "messages": [{"role": "user", "content": "hello"}]}
        )[0]
        == 200
    )


def start(swarm: Swarm, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(SWARM), "up", *arguments],
        env=swarm.environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_foreground_ends_with_its_swarm(own_swarm: Swarm, number: signal.Signals) -> None:
    process = start(own_swarm, "--foreground")
    assert process.stdout is not None
    with process.stdout:
        assert any("Ctrl-C" in line for line in process.stdout)
        assert own_swarm.get("/health")[0] == 200
        process.send_signal(number)
        process.wait(60)
    assert swarm_processes(own_swarm.home) == []


def test_ctrl_c_in_the_first_moments_leaves_nothing(own_swarm: Swarm) -> None:
    process = start(own_swarm)
    until(lambda: (own_swarm.home / "logs" / "supervisor.log").exists(), 10, "the supervisor")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert swarm_processes(own_swarm.home) == []
    assert not list((own_swarm.home / "run").iterdir())


def test_two_starts_at_once_are_one_swarm_and_down_ends_it(own_swarm: Swarm) -> None:
    both = [start(own_swarm), start(own_swarm)]
    said = sorted((each.communicate(timeout=120)[0] for each in both), key=len)
    assert [each.returncode for each in both] == [0, 0], said
    assert "up already" in said[0]
    assert all("Ready" in each for each in said)
    supervisors = [
        each for each in swarm_processes(own_swarm.home) if "services.cli.supervisor" in each.cmdline()
    ]
    assert len(supervisors) == 2, "the one that leads and the one that stands by"
    own_swarm.down()
    assert swarm_processes(own_swarm.home) == []
    assert not list((own_swarm.home / "run").iterdir())


def test_down_ends_a_swarm_that_is_just_being_started(own_swarm: Swarm) -> None:
    process = start(own_swarm)
    until(lambda: (own_swarm.home / "logs" / "supervisor.log").exists(), 10, "the supervisor")
    assert "is down" in own_swarm.down()
    process.communicate(timeout=60)
    assert process.returncode == 1
    assert swarm_processes(own_swarm.home) == []


def test_one_request_id_runs_through_all_logs(swarm: Swarm) -> None:
    chosen = f"trace-{time.time_ns()}"
    result = subprocess.run(
        ["curl", "-sS", "-D", "-", f"{swarm.url}/chat/completions", "-H", "content-type: application/json",
         "-H", f"x-request-id: {chosen}",
         "-d", json.dumps({"model": "local-swarm", "messages": [{"role": "user", "content": "hello"}]})],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert chosen in result.stdout
    for service in ("gateway", "consensus", "worker"):
        path = swarm.home / "logs" / f"{service}.log"
        until(lambda path=path: chosen in path.read_text(), 3, f"the request's id in {path.name}")


def test_free_ports_are_neighbours() -> None:
    first = free_port_range()
    for port in range(first, first + 5):
        with socket.socket() as each:
            each.bind(("127.0.0.1", port))

"""Attempts to get out of the real sandbox, and the limits within it."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import time
from pathlib import Path

import pytest

from services.tool_server.sandbox.bare import Bare
from services.tool_server.sandbox.base import Limits
from services.tool_server.sandbox.bubblewrap import Bubblewrap
from services.tool_server.sandbox.process import Finished, run
from services.tool_server.sessions import Session, Sessions
from tests.fakes.bubblewrap import require_bubblewrap

SECRET = "do-not-read-me"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Bubblewrap:
    return require_bubblewrap(tmp_path_factory.mktemp("home"))


@pytest.fixture
def session(sandbox: Bubblewrap, tmp_path: Path) -> Session:
    (tmp_path / "secret").write_text(SECRET)
    return Sessions(tmp_path / "sessions", sandbox.inside, sandbox.owner).open("s1")


async def _bash(
    sandbox: Bubblewrap | Bare, session: Session, command: str, seconds: float = 20.0, limit: int = 50_000
) -> Finished:
    return await run(sandbox.launch(command, session.folder, seconds), seconds, limit, lambda _: None)


def test_the_command_is_one_argument_and_never_part_of_a_line(tmp_path: Path) -> None:
    sandbox = Bubblewrap("bwrap", tmp_path, as_root=False)
    argv = sandbox.launch("echo '; rm -rf / #\"", Path("/x y"), 2.5).argv
    assert argv[-1] == "echo '; rm -rf / #\""
    assert argv[argv.index("/workspace") - 1] == "/x y"


def test_older_releases_do_without_the_newer_options(tmp_path: Path) -> None:
    old = Bubblewrap("bwrap", tmp_path, options=(), as_root=False).launch("true", tmp_path, 1).argv
    assert not {"--size", "--disable-userns"} & set(old)
    assert {"--unshare-user", "--unshare-net", "--unshare-pid"} <= set(old)
    root = Bubblewrap("bwrap", tmp_path, as_root=True).launch("true", tmp_path, 1).argv
    assert "--unshare-user" not in root
    assert {"setpriv", "--unshare-net", "--unshare-pid"} <= set(root)


async def test_work_gets_done(sandbox: Bubblewrap, session: Session) -> None:
    finished = await _bash(
        sandbox, session, "pwd; echo hi > made; cat made; whoami; python3 -c 'print(6*7)'; exit 3"
    )
    assert finished == Finished("/workspace\nhi\nswarm\n42\n", 3, False)
    assert (session.folder / "made").read_text() == "hi\n"
    assert (await _bash(sandbox, session, "cat made; rm made")).output == "hi\n"


@pytest.mark.parametrize(
    "path",
    [
        "{secret}",
        "../secret",
        "../../secret",
        "/workspace/../../secret",
        "/proc/self/root{secret}",
        "/proc/1/root{secret}",
        "/proc/self/cwd/../../secret",
        "/etc/shadow",
        "/root/.bashrc",
        "/sys/kernel",
        "/var/log",
        "/home",
        "/dev/mem",
        "/dev/kmsg",
    ],
)
async def test_nothing_outside_is_seen(
    sandbox: Bubblewrap, session: Session, tmp_path: Path, path: str
) -> None:
    target = path.format(secret=tmp_path / "secret")
    command = f"cat {target} || ls {target}"
    finished = await _bash(sandbox, session, command)
    assert finished.exit_code != 0
    assert SECRET not in finished.output
    # Positive control: the same command with a file that is there.
    assert (await _bash(sandbox, session, "cat /etc/passwd || ls /etc")).exit_code == 0


@pytest.mark.parametrize(
    "path",
    ["/x", "/usr/x", "/bin/x", "/etc/x", "/etc/passwd", "/dev/x", "/proc/sys/kernel/hostname", "/run/x"],
)
async def test_the_system_is_read_only(sandbox: Bubblewrap, session: Session, path: str) -> None:
    assert (await _bash(sandbox, session, f"echo x >> {path}")).exit_code != 0
    assert (
        await _bash(sandbox, session, "echo x > /tmp/x && echo x > /dev/shm/x && echo x > x")
    ).exit_code == 0


async def test_tmp_is_private_to_a_command(sandbox: Bubblewrap, session: Session) -> None:
    assert (await _bash(sandbox, session, "echo x > /tmp/x; ls /tmp")).output == "x\n"
    assert (await _bash(sandbox, session, "ls -A /tmp /dev/shm")).output == "/dev/shm:\n\n/tmp:\n"


async def test_no_rights_are_left(sandbox: Bubblewrap, session: Session) -> None:
    finished = await _bash(
        sandbox, session, "grep -E '^(Cap(Inh|Prm|Eff|Amb)|NoNewPrivs)' /proc/self/status; id -u"
    )
    *status, uid = finished.output.split("\n")[:-1]
    assert {line.split("\t")[1] for line in status[:-1]} == {"0" * 16}
    assert status[-1] == "NoNewPrivs:\t1"
    assert uid != "0"
    for command in (
        "mount -t tmpfs none /tmp",
        "mount -o remount,rw /usr",
        "mknod d c 1 1",
        "su -c id",
        "chown 0 .",
    ):
        assert (await _bash(sandbox, session, command)).exit_code != 0, command


async def test_links_out_of_the_session_cannot_be_made(
    sandbox: Bubblewrap, session: Session, tmp_path: Path
) -> None:
    finished = await _bash(
        sandbox, session, f"ln {tmp_path}/secret a; ln /etc/passwd b; ln -s {tmp_path}/secret c; cat c"
    )
    assert finished.exit_code != 0
    assert SECRET not in finished.output
    assert [each.name for each in session.folder.iterdir()] == ["c"]


async def test_the_environment_holds_nothing_of_ours(
    sandbox: Bubblewrap, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", SECRET)
    finished = await _bash(sandbox, session, "env; cat /proc/*/environ | tr '\\0' '\\n'")
    assert "HOME=/workspace" in finished.output
    assert SECRET not in finished.output


async def test_other_processes_are_neither_seen_nor_reached(sandbox: Bubblewrap, session: Session) -> None:
    finished = await _bash(sandbox, session, f"ls -d /proc/[0-9]* | wc -l; kill -9 {os.getpid()}; kill -9 -1")
    assert int(finished.output.split()[0]) < 10
    assert os.getppid() > 0


async def test_there_is_no_network(sandbox: Bubblewrap, session: Session) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        port = server.getsockname()[1]
        connect = f"exec 3<>/dev/tcp/127.0.0.1/{port}"
        assert (await _bash(sandbox, session, connect)).exit_code != 0
        # Positive control: without the sandbox somebody comes.
        assert (await _bash(Bare(), session, connect)).exit_code == 0
        server.accept()[0].close()
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
    names = await _bash(sandbox, session, "grep -c : /proc/net/dev; grep -o 'lo:' /proc/net/dev")
    assert names.output == "1\nlo:\n"


async def test_a_fork_bomb_is_limited_and_cleared_away(sandbox: Bubblewrap, session: Session) -> None:
    limited = Bubblewrap(sandbox.program, sandbox.accounts, limits=Limits(processes=50))
    # Each level starts two more; without a limit there were 511, which a machine bears.
    bomb = "f() { [ $1 -gt 7 ] || { f $(($1 + 1)) & f $(($1 + 1)) & sleep 300; }; }; f 0"
    started = time.monotonic()
    finished = await _bash(limited, session, bomb, seconds=1.0)
    assert time.monotonic() - started < 5.0
    assert finished.exit_code is None
    assert "Resource temporarily unavailable" in finished.output
    # Nobody is left: the same limit has room again.
    assert (
        await _bash(limited, session, "for i in 1 2 3 4 5 6 7 8; do sleep 0 & done; wait; echo room")
    ).output == "room\n"


@pytest.mark.parametrize(
    ("limits", "command"),
    [
        (Limits(address_space=1 << 27), "python3 -c 'bytearray(1 << 27)'"),
        (Limits(file_size=1 << 16), "head -c 100000 /dev/zero > big"),
        (Limits(memory_files=1 << 16), "head -c 100000 /dev/zero > /tmp/big"),
        (Limits(memory_files=1 << 16), "head -c 100000 /dev/zero > /dev/shm/big"),
    ],
)
async def test_limits_hold(sandbox: Bubblewrap, session: Session, limits: Limits, command: str) -> None:
    if "--size" not in sandbox.options and limits.memory_files != Limits().memory_files:
        pytest.skip("this bubblewrap cannot limit the size of /tmp")
    small = Bubblewrap(sandbox.program, sandbox.accounts, sandbox.options, limits)
    assert (await _bash(small, session, command)).exit_code != 0
    assert (await _bash(sandbox, session, command)).exit_code == 0
    assert (await _bash(small, session, "ulimit -Hc; ulimit -u 9999")).exit_code != 0


async def test_time_runs_out_for_those_who_ignore_sigterm(sandbox: Bubblewrap, session: Session) -> None:
    command = (
        "trap '' TERM HUP INT; (trap '' TERM; setsid sleep 300) & echo begun; while :; do sleep 300; done"
    )
    started = time.monotonic()
    finished = await _bash(sandbox, session, command, seconds=0.5)
    assert time.monotonic() - started < 2.0
    assert (finished.output, finished.exit_code) == ("begun\n", None)


async def test_background_processes_end_with_the_command(sandbox: Bubblewrap, session: Session) -> None:
    command = "setsid nohup bash -c 'sleep 0.3; echo late > late' > /dev/null 2>&1 & echo done"
    # The late one holds no pipe; the folder tells whether it went on.
    assert (await _bash(sandbox, session, command)).output == "done\n"
    assert (await _bash(sandbox, session, "sleep 0.6; ls")).output == ""


async def test_killed_at_any_moment_of_its_start_nothing_is_left(
    sandbox: Bubblewrap, session: Session
) -> None:
    """Bubblewrap leaves its child behind when it is killed while it sets up; see process.py."""
    draw = random.Random(7)
    for _ in range(40):
        running = asyncio.create_task(_bash(sandbox, session, f"sleep {300 + os.getpid()}"))
        await asyncio.wait({running}, timeout=draw.uniform(0, 0.03))
        started = time.monotonic()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        # Two seconds is what something that cannot be killed would take.
        assert time.monotonic() - started < 1.5


async def test_the_death_of_the_tool_server_is_theirs(sandbox: Bubblewrap, session: Session) -> None:
    launch = sandbox.launch("echo up; sleep 300", session.folder, 300)
    read_end, write_end = os.pipe()
    # A parent that starts the sandbox and dies at once when it is told to.
    parent = await asyncio.create_subprocess_exec(
        "/bin/bash", "-c", '"$@" & read -r _; kill -9 $$', "parent", *launch.argv,
        stdin=asyncio.subprocess.PIPE, stdout=write_end, stderr=write_end, cwd=session.folder,
    )  # fmt: skip
    os.close(write_end)
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb", buffering=0)
    )
    assert b"up" in await asyncio.wait_for(reader.readline(), 10)
    assert parent.stdin is not None
    parent.stdin.write(b"die\n")
    # The end of the output: nobody holds it any more.
    assert await asyncio.wait_for(reader.read(), 5) == b""
    await parent.wait()
    transport.close()

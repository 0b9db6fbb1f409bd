from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest
import structlog

from services.common.errors import Reason, SwarmError
from services.common.settings import Settings
from services.tool_server.sandbox import choose
from services.tool_server.sandbox.bare import Bare
from services.tool_server.sandbox.base import Sandbox
from services.tool_server.sandbox.bubblewrap import Bubblewrap
from services.tool_server.sandbox.choose import choose_sandbox


def _fake_bwrap(folder: Path, body: str) -> None:
    program = folder / "bwrap"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder of programs, empty but for what the test puts there."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def _words(sandbox: Sandbox) -> str:
    with pytest.raises(SwarmError) as caught:
        sandbox.launch("true", Path("/"), 1)
    assert caught.value.reason is Reason.SANDBOX_UNAVAILABLE
    return caught.value.message


@pytest.mark.usefixtures("programs")
async def test_without_bubblewrap_the_words_say_how_to_install_it(tmp_path: Path) -> None:
    words = _words(await choose_sandbox(Settings(home=tmp_path)))
    for word in ("apt install bubblewrap", "dnf install", "pacman -S", 'sandbox = "none"'):
        assert word in words


async def test_a_bubblewrap_that_fails_is_refused_with_its_own_words(tmp_path: Path, programs: Path) -> None:
    _fake_bwrap(programs, '[ "$1" = --help ] && exit 0; echo "bwrap: setting up uid map: Denied" >&2; exit 1')
    words = _words(await choose_sandbox(Settings(home=tmp_path)))
    assert "setting up uid map: Denied" in words
    assert "apparmor_restrict_unprivileged_userns" in words


async def test_a_bubblewrap_that_hangs_is_refused(
    tmp_path: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "_PROBE", 0.2)
    _fake_bwrap(programs, "exec /bin/sleep 300")
    assert "timed out" in _words(await choose_sandbox(Settings(home=tmp_path)))


async def test_the_options_of_this_release_are_used(tmp_path: Path, programs: Path) -> None:
    _fake_bwrap(programs, '[ "$1" = --help ] && echo "  --size BYTES"; exit 0')
    sandbox = await choose_sandbox(Settings(home=tmp_path))
    assert isinstance(sandbox, Bubblewrap)
    assert sandbox.options == ("--size",)
    assert "swarm:x:" in (tmp_path / "sandbox" / "passwd").read_text()


async def test_on_macos_it_is_not_there_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "macOS" in _words(await choose_sandbox(Settings(home=tmp_path)))


async def test_bare_only_if_configured_and_with_a_warning(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as logs:
        sandbox = await choose_sandbox(Settings(home=tmp_path, sandbox="none"))
    assert isinstance(sandbox, Bare)
    assert [entry["log_level"] for entry in logs] == ["warning"]
    assert "NOT contained" in logs[0]["event"]


def test_bare_keeps_keys_and_tokens_of_the_environment_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "secret")
    monkeypatch.setenv("PATH", "/bin")
    environment = Bare().launch("true", Path("/"), 1).environment
    assert "API_KEY" not in environment
    assert environment["PATH"] == "/bin"

"""Which sandbox this machine has: found out once, by using it."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import structlog

from services.common.settings import Settings
from services.tool_server.sandbox.bare import Bare
from services.tool_server.sandbox.base import Sandbox
from services.tool_server.sandbox.bubblewrap import NEWER_OPTIONS, Bubblewrap
from services.tool_server.sandbox.refused import Refused

# Seconds for one run of `true`.
_PROBE = 10.0

_INSTALL = (
    "bash runs only inside a sandbox, and bubblewrap is not installed here. Install it: "
    "apt install bubblewrap (Debian, Ubuntu), dnf install bubblewrap (Fedora), "
    "pacman -S bubblewrap (Arch); then start the swarm again"
)
_MACOS = (
    "bash runs only inside a sandbox, and on macOS that is not available yet; "
    "read and write work, and commands run on a worker with Linux"
)
_HINTS = (
    "Most often user namespaces are forbidden. On Ubuntu 23.10 and later: "
    "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile for bwrap. "
    "Elsewhere: sudo sysctl kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000. "
    "In a container the engine must allow namespaces and mounts"
)
_BARE = (
    'Or set sandbox = "none" in swarm.toml (SWARM_SANDBOX=none) to run commands bare, with your own rights'
)

log = structlog.get_logger()


async def choose_sandbox(settings: Settings) -> Sandbox:
    """Never less contained than configured: what does not work here is refused, with the words why."""
    if settings.sandbox == "none":
        log.warning(
            "bash is NOT contained: sandbox = none runs every command with the rights of this process",
            sandbox="none",
        )
        return Bare()
    if sys.platform == "darwin":
        return _refused(f"{_MACOS}. {_BARE}.")
    program = shutil.which("bwrap")
    if program is None:
        return _refused(f"{_INSTALL}. {_BARE}.")
    return await asyncio.to_thread(_probed, program, settings.home / "sandbox")


def _probed(program: str, accounts: Path) -> Sandbox:
    try:
        known = _run((program, "--help"))
        options = tuple(option for option in NEWER_OPTIONS if option in known)
        sandbox = Bubblewrap(program, accounts, options)
        sandbox.write_accounts()
        with tempfile.TemporaryDirectory(prefix="swarm-probe-") as folder:
            if sandbox.owner is not None:
                os.chown(folder, *sandbox.owner)
            _run(sandbox.launch("true", Path(folder), _PROBE).argv)
    except (OSError, subprocess.SubprocessError) as error:
        return _refused(
            f"bash runs only inside a sandbox, and bubblewrap fails here: {_why(error)}. {_HINTS}. {_BARE}."
        )
    log.info(
        "bash is contained by bubblewrap", without=[each for each in NEWER_OPTIONS if each not in options]
    )
    return sandbox


def _run(argv: tuple[str, ...]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=_PROBE, check=True)
    return done.stdout


def _why(error: OSError | subprocess.SubprocessError) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return error.stderr.strip() or f"exit code {error.returncode}"
    return str(error)


def _refused(why: str) -> Refused:
    log.warning("bash is refused", reason=why)
    return Refused(why)

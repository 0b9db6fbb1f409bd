"""Commands in bubblewrap: the system read-only, the session's folder at /workspace, no network.

As an ordinary user everything happens in a user namespace. As root that would leave the command root's
own identity, for which the kernel knows no limit on processes; there bubblewrap works without a user
namespace and setpriv hands the command to a user id of its own before it starts.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from services.tool_server.sandbox.base import Launch, Limits

WORKSPACE = "/workspace"

# A user id that no distribution hands out (systemd's table of ids leaves 60578 to 61183 unused).
SANDBOX_UID = 61000

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_ETC = (
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/ssl/openssl.cnf",
)
_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
    "HOME": WORKSPACE,
    "LANG": "C.UTF-8",
    "USER": "swarm",
    "SHELL": "/bin/bash",
    "TERM": "dumb",
}
# Runs inside, as the user that the command will be: only that one may enter the folder, and in a new user
# namespace only its own processes count. The limits are hard and soft.
# $1 … $4: processes, KiB of address space, KiB of a file, seconds of CPU; $5: the command.
_LIMITED = (
    f'cd {WORKSPACE} && ulimit -c 0 -u "$1" -v "$2" -f "$3" -t "$4" && printf "\\0ready\\0" || exit 126; '
    'exec /bin/bash --noprofile --norc -c "$5"'
)
_READY = b"\0ready\0"

# Options that older releases lack; the sandbox holds without them, less tightly.
NEWER_OPTIONS = ("--disable-userns", "--size")


@dataclass(frozen=True, slots=True)
class Bubblewrap:
    """`accounts` holds the passwd and group files shown inside. `options` are those of NEWER_OPTIONS that
    this release knows."""

    program: str
    accounts: Path
    options: Collection[str] = NEWER_OPTIONS
    limits: Limits = field(default_factory=Limits)
    as_root: bool = field(default_factory=lambda: os.geteuid() == 0)

    @property
    def inside(self) -> str | None:
        return WORKSPACE

    @property
    def owner(self) -> tuple[int, int] | None:
        return (SANDBOX_UID, SANDBOX_UID) if self.as_root else None

    def write_accounts(self) -> None:
        """Makes the passwd and group files: who the command is, and nobody else of this machine."""
        uid, gid = self.owner or (os.getuid(), os.getgid())
        self.accounts.mkdir(parents=True, exist_ok=True)
        texts = {
            "passwd": f"root:x:0:0::/:/bin/bash\nswarm:x:{uid}:{gid}::{WORKSPACE}:/bin/bash\n",
            "group": f"root:x:0:\nswarm:x:{gid}:\n",
        }
        for name, text in texts.items():
            (self.accounts / name).write_text(text)
            # Whatever the umask: the command is another user where this process is root.
            (self.accounts / name).chmod(0o644)

    def launch(self, command: str, folder: Path, seconds: float) -> Launch:
        argv = (
            self.program,
            *_namespaces(self.as_root, self.options),
            *_file_system(folder, self.accounts, self.options, self.limits),
            *_environment(),
            "--",
            *(_other_user() if self.as_root else ()),
            "/bin/bash", "--noprofile", "--norc", "-c", _LIMITED, "limits",
            *_limit_arguments(self.limits, seconds),
            command,
        )  # fmt: skip
        return Launch(argv, folder, {"PATH": os.environ.get("PATH", os.defpath)}, _READY)


def _namespaces(as_root: bool, options: Collection[str]) -> tuple[str, ...]:
    identity: tuple[str, ...] = ("--unshare-user",)
    if as_root:
        identity = ("--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID")
    elif "--disable-userns" in options:
        identity = ("--unshare-user", "--disable-userns")
    return (
        "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try",
        "--hostname", "local-swarm",
        "--die-with-parent", "--new-session",
        "--cap-drop", "ALL", *identity,
    )  # fmt: skip


def _file_system(folder: Path, accounts: Path, options: Collection[str], limits: Limits) -> tuple[str, ...]:
    # Folders that come into being on the way to a mount would be closed to other users.
    arguments = ["--perms", "0755", "--dir", "/etc", "--perms", "0755", "--dir", "/etc/ssl"]
    for name in _SYSTEM:
        path = Path(name)
        if path.is_symlink():
            arguments += ("--symlink", str(path.readlink()), name)
        elif path.is_dir():
            arguments += ("--ro-bind", name, name)
    for name in _ETC:
        arguments += ("--ro-bind-try", name, name)
    for name in ("passwd", "group"):
        arguments += ("--ro-bind", str(accounts / name), f"/etc/{name}")
    size = ("--size", str(limits.memory_files)) if "--size" in options else ()
    return (
        *arguments,
        "--proc", "/proc",
        "--dev", "/dev",
        "--perms", "1777", *size, "--tmpfs", "/dev/shm",  # noqa: S108 - inside, private to the command
        "--perms", "1777", *size, "--tmpfs", "/tmp",  # noqa: S108
        "--dir", "/var", "--symlink", "../tmp", "/var/tmp",  # noqa: S108
        "--dir", "/run",
        "--bind", str(folder), WORKSPACE,
        "--remount-ro", "/dev",
        "--remount-ro", "/",
        "--chdir", "/",
    )  # fmt: skip


def _environment() -> tuple[str, ...]:
    arguments = ["--clearenv"]
    for key, value in _ENVIRONMENT.items():
        arguments += ("--setenv", key, value)
    return tuple(arguments)


def _other_user() -> tuple[str, ...]:
    uid = str(SANDBOX_UID)
    return ("setpriv", "--reuid", uid, "--regid", uid, "--clear-groups", "--inh-caps=-all")


def _limit_arguments(limits: Limits, seconds: float) -> tuple[str, ...]:
    cpu_seconds = math.ceil(seconds) * (os.cpu_count() or 1) + 1
    kibibytes = (limits.address_space // 1024, limits.file_size // 1024)
    return (str(limits.processes), *(str(size) for size in kibibytes), str(cpu_seconds))

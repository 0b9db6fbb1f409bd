"""Containment: whatever path a model names, only what lies beneath the session's root is opened.

The check is the open itself, not a look beforehand, so nothing that a running command swaps in between
(a folder for a symbolic link, say) leads outside. On Linux the kernel does it (openat2 with
RESOLVE_BENEATH); elsewhere the path is walked component by component and symbolic links are refused.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
from collections.abc import Callable, Sequence

from services.common.errors import Reason, SwarmError, invalid

Parts = tuple[str, ...]
Opener = Callable[[int, Parts, int], int]

_OPENAT2 = 437  # the same number on every architecture that Python runs on
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_BENEATH = 0x08
# A rename somewhere on the way makes the kernel ask for another try.
_TRIES = 32

_FOLDER = os.O_RDONLY | os.O_DIRECTORY


def relative_parts(path: str, root_names: Sequence[str]) -> Parts:
    """The components of `path` below the root; empty for the root itself.

    An absolute path must lie beneath one of `root_names`, the absolute paths by which the root is known.
    Raises SwarmError INVALID_FIELD (no path at all) or PATH_OUTSIDE_ROOT. Nothing is opened here.
    """
    if not path or "\0" in path:
        raise invalid("path", "path is empty or has a zero byte, expected the path of a file")
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise invalid("path", "path is no valid Unicode text") from error
    parts: list[str] = []
    for part in path.split("/"):
        if part in ("", "."):
            continue
        if part != "..":
            parts.append(part)
        elif parts:
            parts.pop()
        elif not path.startswith("/"):
            raise outside(path)
    if not path.startswith("/"):
        return tuple(parts)
    for name in root_names:
        root = [part for part in name.split("/") if part]
        if parts[: len(root)] == root:
            return tuple(parts[len(root) :])
    raise outside(path)


def outside(path: str) -> SwarmError:
    return SwarmError(
        Reason.PATH_OUTSIDE_ROOT,
        f"{path} lies outside the session's folder. Use a path relative to that folder; "
        "absolute paths, .. and symbolic links that lead out of it are refused.",
        param="path",
    )


def open_beneath(root: int, parts: Parts, flags: int) -> int:
    """A descriptor of an existing file or folder beneath the folder `root` (a descriptor).

    Raises SwarmError PATH_OUTSIDE_ROOT when a symbolic link leads out, OSError as open(2) does.
    """
    return _opener(root, parts, flags | os.O_CLOEXEC)


def make_folder(root: int, parts: Parts) -> int:
    """A descriptor of the folder; what is missing of it is made. Raises as `open_beneath`."""
    folder = open_beneath(root, (), _FOLDER)
    for depth, part in enumerate(parts, start=1):
        try:
            made = _mkdir(folder, part)
            inner = open_beneath(root, parts[:depth], _FOLDER)
        finally:
            os.close(folder)
        folder = inner
        if made:
            hand_over(root, folder)
    return folder


def hand_over(root: int, file: int) -> None:
    """Gives a new file to the owner of the root, who is not this process when it runs as root."""
    if os.geteuid() == 0:
        owner = os.fstat(root)
        os.fchown(file, owner.st_uid, owner.st_gid)


def _mkdir(folder: int, name: str) -> bool:
    try:
        os.mkdir(name, 0o755, dir_fd=folder)
    except FileExistsError:
        return False
    return True


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_by_kernel(root: int, parts: Parts, flags: int) -> int:
    """openat2: the kernel resolves the path and refuses what leaves `root`."""
    how = _OpenHow(flags=flags, mode=0, resolve=_RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
    path = "/".join(parts) or "."
    for _ in range(_TRIES):
        file: int = _libc.syscall(
            ctypes.c_long(_OPENAT2),
            ctypes.c_int(root),
            ctypes.c_char_p(os.fsencode(path)),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        if file >= 0:
            return file
        if (code := ctypes.get_errno()) != errno.EAGAIN:
            break
    if code == errno.EXDEV:
        raise outside(path)
    raise OSError(code, os.strerror(code), path)


def open_by_walk(root: int, parts: Parts, flags: int) -> int:
    """One open per component, none of which may be a symbolic link."""
    if not parts:
        return os.open(".", flags, dir_fd=root)
    folder = os.dup(root)
    try:
        for part in parts[:-1]:
            inner = _open_no_link(folder, part, _FOLDER | os.O_CLOEXEC)
            os.close(folder)
            folder = inner
        return _open_no_link(folder, parts[-1], flags)
    finally:
        os.close(folder)


def _open_no_link(folder: int, name: str, flags: int) -> int:
    try:
        return os.open(name, flags | os.O_NOFOLLOW, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK) and stat.S_ISLNK(
            os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        ):
            raise outside(name) from error
        raise


def _kernel_can() -> bool:
    """Old kernels lack openat2, and some containers forbid it."""
    if not sys.platform.startswith("linux"):
        return False
    here = os.open("/", _FOLDER | os.O_CLOEXEC)
    try:
        os.close(open_by_kernel(here, (), _FOLDER | os.O_CLOEXEC))
    except OSError:
        return False
    finally:
        os.close(here)
    return True


_libc = ctypes.CDLL(None, use_errno=True)
_opener: Opener = open_by_kernel if _kernel_can() else open_by_walk

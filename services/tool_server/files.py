"""Reading and writing of one file beneath a session's root: text only, bounded, atomic. Blocking."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from services.common.errors import Reason, SwarmError, invalid
from services.tool_server.paths import Parts, hand_over, make_folder, open_beneath

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Excerpt:
    """`lines` whole lines from line `first` (1-based) on; `cut` is set if that one line was too long.

    `more` tells that the file goes on after them.
    """

    text: str
    first: int
    lines: int
    more: bool
    cut: bool = False


def read_text(
    root: int, parts: Parts, first: int, limit: int, max_bytes: int, stopped: Callable[[], bool]
) -> Excerpt:
    """At most `limit` lines and `max_bytes` bytes, from line `first` on.

    `stopped` is asked now and then; when it says so, the rest is not read (DEADLINE_EXCEEDED).
    Raises SwarmError INVALID_FIELD (`offset` behind the end), NOT_FOUND, TOOL_FAILED (a folder, a device,
    no UTF-8 text), PERMISSION_DENIED, PATH_OUTSIDE_ROOT.
    """
    path = "/".join(parts) or "."
    with explained(path), _regular_file(root, parts) as file:
        _skip_lines(file, first - 1, path, stopped)
        return _excerpt(file, path, first, limit, max_bytes)


def write_text(root: int, parts: Parts, text: str) -> bool:
    """Replaces the file as a whole, making folders as needed; True: it was there before.

    A reader sees the old text or the new one, never a part. Raises SwarmError as `read_text`.
    """
    path = "/".join(parts) or "."
    if not parts:
        raise SwarmError(Reason.TOOL_FAILED, "the session's folder itself is no file", param="path")
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise invalid("content", f"content is no valid Unicode text at character {error.start}") from error
    with explained(path):
        folder = make_folder(root, parts[:-1])
    try:
        with explained(path):
            mode = _replaceable(root, folder, parts)
            _write_and_rename(root, folder, parts[-1], data, 0o644 if mode is None else mode)
    finally:
        os.close(folder)
    return mode is not None


@contextlib.contextmanager
def explained(path: str) -> Iterator[None]:
    """Turns the system's errors into SwarmErrors in plain words."""
    try:
        yield
    except FileNotFoundError as error:
        raise SwarmError(Reason.NOT_FOUND, f"{path} does not exist", param="path") from error
    except PermissionError as error:
        raise SwarmError(Reason.PERMISSION_DENIED, f"{path}: permission denied", param="path") from error
    except OSError as error:
        raise SwarmError(
            Reason.TOOL_FAILED, f"{path}: {os.strerror(error.errno or 0).lower()}", param="path"
        ) from error


@contextlib.contextmanager
def _regular_file(root: int, parts: Parts) -> Iterator[BinaryIO]:
    # Opening a pipe for reading would otherwise wait for a writer.
    descriptor = open_beneath(root, parts, os.O_RDONLY | os.O_NONBLOCK)
    try:
        _check_regular("/".join(parts) or ".", os.fstat(descriptor).st_mode)
    except SwarmError:
        os.close(descriptor)
        raise
    with os.fdopen(descriptor, "rb") as file:
        yield file


def _check_regular(path: str, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise SwarmError(Reason.TOOL_FAILED, f"{path} is a folder, not a file", param="path")
    if not stat.S_ISREG(mode):
        raise SwarmError(Reason.TOOL_FAILED, f"{path} is a pipe or device, not a file", param="path")


def _skip_lines(file: BinaryIO, lines: int, path: str, stopped: Callable[[], bool]) -> None:
    seen = 0
    while seen < lines:
        if stopped():
            raise SwarmError(Reason.DEADLINE_EXCEEDED, f"{path} is too long to be skipped through in time")
        chunk = file.read(_CHUNK)
        if not chunk:
            raise invalid("offset", f"offset is {lines + 1}, but {path} has only {seen} line ends")
        ends = chunk.count(b"\n")
        if seen + ends < lines:
            seen += ends
            continue
        position = 0
        for _ in range(lines - seen):
            position = chunk.index(b"\n", position) + 1
        file.seek(position - len(chunk), io.SEEK_CUR)
        return


def _excerpt(file: BinaryIO, path: str, first: int, limit: int, max_bytes: int) -> Excerpt:
    data = bytearray()
    lines = 0
    cut = False
    while lines < limit:
        line = file.readline(max_bytes - len(data) + 1)
        if len(data) + len(line) > max_bytes:
            cut = lines == 0
            if cut:
                data += line[:max_bytes]
            return Excerpt(_decoded(path, data, first, cut), first, lines, more=True, cut=cut)
        if not line:
            break
        data += line
        lines += 1
    return Excerpt(_decoded(path, data, first, cut), first, lines, more=bool(file.read(1)))


def _decoded(path: str, data: bytearray, first: int, cut: bool) -> str:
    zero = data.find(0)
    try:
        if zero < 0:
            return data.decode()
        wrong = zero
    except UnicodeDecodeError as error:
        if cut and error.end == len(data) and error.reason == "unexpected end of data":
            return data[: error.start].decode()
        wrong = error.start
    line = first + data.count(b"\n", 0, wrong)
    raise SwarmError(
        Reason.TOOL_FAILED,
        f"{path} is not UTF-8 text: byte 0x{data[wrong]:02x} in line {line}. "
        "Look at it with bash, for example with file, xxd or iconv.",
        param="path",
    )


def _replaceable(root: int, folder: int, parts: Parts) -> int | None:
    """The permission bits of the file that will be replaced; None: there is none."""
    path = "/".join(parts)
    try:
        mode = os.stat(parts[-1], dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(mode):
        # Raises PATH_OUTSIDE_ROOT if it leads out.
        with contextlib.suppress(OSError):
            os.close(open_beneath(root, parts, os.O_RDONLY | os.O_NONBLOCK))
        raise SwarmError(
            Reason.TOOL_FAILED, f"{path} is a symbolic link; write to the file it points to", param="path"
        )
    _check_regular(path, mode)
    return stat.S_IMODE(mode) & 0o777


def _write_and_rename(root: int, folder: int, name: str, data: bytes, mode: int) -> None:
    temporary = f".{secrets.token_hex(8)}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.open(temporary, flags, 0o600, dir_fd=folder)
    try:
        with os.fdopen(file, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fchmod(file, mode)
            hand_over(root, file)
            os.fsync(file)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)
        raise

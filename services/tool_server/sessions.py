"""A session's id and the folder that is its whole world."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.common.errors import Reason, SwarmError, invalid

_LONGEST_ID = 512
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Session:
    """`folder` exists. `root_names` are the absolute paths by which a model may call it."""

    id: str
    folder: Path
    root_names: tuple[str, ...]

    @contextmanager
    def root(self) -> Iterator[int]:
        """A descriptor of the folder. Raises SwarmError TOOL_FAILED when somebody took it away."""
        try:
            descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise _no_folder(error) from error
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def folder_name(session_id: str) -> str:
    """One name in the file system per id: readable at its front, unique by its hash, never a path."""
    digest = hashlib.sha256(session_id.encode(errors="surrogatepass")).hexdigest()[:32]
    front = _UNSAFE.sub("-", session_id).strip("-")[:32]
    return f"{front}-{digest}" if front else digest


def _no_folder(error: OSError) -> SwarmError:
    return SwarmError(Reason.TOOL_FAILED, f"no folder for this session: {error.strerror or error}")


class Sessions:
    """The folders of all sessions, made when first asked for.

    `inside` is the root's path within the sandbox, if it has another there. `owner` is the user and
    group id that commands run as, if not this process's own.
    """

    def __init__(self, folder: Path, inside: str | None, owner: tuple[int, int] | None) -> None:
        self._folder = folder
        self._inside = inside
        self._owner = owner

    def open(self, session_id: str) -> Session:
        """Raises SwarmError INVALID_FIELD for an empty or overlong id, TOOL_FAILED if there is no folder."""
        if not session_id.strip() or len(session_id) > _LONGEST_ID:
            raise invalid("session_id", f"session_id is empty or longer than {_LONGEST_ID} characters")
        folder = self._folder / folder_name(session_id)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
            if not stat.S_ISDIR(folder.lstat().st_mode):
                raise NotADirectoryError(f"{folder} is a symbolic link")
            if self._owner is not None:
                os.chown(folder, *self._owner, follow_symlinks=False)
        except OSError as error:
            raise _no_folder(error) from error
        names = (str(folder),) if self._inside is None else (self._inside, str(folder))
        return Session(session_id, folder, names)

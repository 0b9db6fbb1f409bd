"""The disk tier: one folder for all models and all workers of the box; the least recently used goes first.

    <root>/<first 32 digits of the fingerprint>/<rank>-<start>-<random>.kv

The file's modification time is the clock of its last use, so that workers share one order. Names are hints
for that order and nothing else; they are never used twice, so what a name once stood for does not change.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import stat
from collections.abc import Container, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from services.inference_worker.kv.eviction import PIN_SECONDS, Rank, victims

SUFFIX = ".kv"
UNFINISHED = ".unfinished"
_NAME = re.compile(r"([012])-([0-9a-f]{8})-[0-9a-f]{24}\.kv")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class File:
    """A file of any model, as the policy of eviction sees it."""

    path: str
    size: int
    rank: Rank
    used: float
    start: int


@dataclass(slots=True)
class DiskTier:
    """At most `limit` bytes in `root`, over all models' folders together.

    `queue`: bytes that may wait in memory to be written. `used` and `evicted` (files) are as this process
    knows them. Raises ValueError for sizes that are no sizes.
    """

    root: Path
    limit: int
    queue: int = 1 << 30
    used: int = field(default=0, init=False)
    evicted: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        for name, size in (("limit", self.limit), ("queue", self.queue)):
            if size <= 0:
                raise ValueError(f"{name}: {size} is not positive")

    def open(self) -> None:
        """Makes the folder, private to the user, and removes what dead writers have left unfinished."""
        private_folder(self.root)
        for entry in self._entries():
            if entry.name.endswith(UNFINISHED):
                _remove_if_dead(entry.path)
        self.used = sum(size for _, size in self._sizes())

    def make_room(
        self, size: int, asker: Rank, now: float, ranks: dict[str, Rank], protected: Container[str]
    ) -> bool:
        """Deletes files until `size` bytes more fit. False: they cannot.

        `ranks`: what is known beyond the names, by path. `protected` paths stay. Main conversations' files
        that were used within PIN_SECONDS are pinned; which is their newest chain is not told between workers.
        """
        files = []
        used = 0
        for entry, bytes_used in self._sizes():
            used += bytes_used
            if entry.name.endswith(SUFFIX):
                files.append(_file(entry, ranks))
        self.used = used
        need = used + size - self.limit
        if need <= 0:
            return True
        if size > self.limit:
            return False
        pinned = {file for file in files if file.rank is Rank.MAIN and now - file.used < PIN_SECONDS}
        kept = {file for file in files if file.path in protected}
        gone = victims(files, need, asker, pinned, kept)
        if gone is None:
            return False
        for file in gone:
            # Another worker, short of room as well, may have been faster.
            with suppress(FileNotFoundError):
                Path(file.path).unlink()
            self.used -= file.size
        self.evicted += len(gone)
        return True

    def _entries(self) -> Iterator[os.DirEntry[str]]:
        with os.scandir(self.root) as folders:
            models = [folder.path for folder in folders if folder.is_dir(follow_symlinks=False)]
        for model in models:
            with suppress(FileNotFoundError), os.scandir(model) as entries:
                yield from entries

    def _sizes(self) -> Iterator[tuple[os.DirEntry[str], int]]:
        for entry in self._entries():
            if not entry.name.endswith((SUFFIX, UNFINISHED)):
                continue
            with suppress(FileNotFoundError):
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode):
                    yield entry, status.st_size


def private_folder(path: Path) -> None:
    """Makes the folder if need be; nobody but the user may look into it."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)


def new_name(rank: Rank, start: int) -> str:
    return f"{rank:d}-{start:08x}-{secrets.token_hex(12)}{SUFFIX}"


def rank_of(name: str) -> Rank | None:
    """None: it is no name of ours."""
    match = _NAME.fullmatch(name)
    return Rank(int(match[1])) if match else None


def _file(entry: os.DirEntry[str], ranks: dict[str, Rank]) -> File:
    status = entry.stat(follow_symlinks=False)
    match = _NAME.fullmatch(entry.name)
    rank = Rank(int(match[1])) if match else Rank.SIDE
    start = int(match[2], 16) if match else 0
    return File(entry.path, status.st_size, max(rank, ranks.get(entry.path, rank)), status.st_mtime, start)


def _remove_if_dead(path: str) -> None:
    """A writer that lives holds a lock on its unfinished file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            Path(path).unlink()
        finally:
            os.close(descriptor)
    except (FileNotFoundError, BlockingIOError):
        return
    except OSError as error:
        log.warning("kv.disk leftover cannot be removed", file=path, detail=str(error))

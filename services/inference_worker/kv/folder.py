"""One model's files: written whole or not at all, read only as far as their checksums hold."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import structlog

from services.inference_worker.kv.disk import SUFFIX, UNFINISHED, new_name, private_folder, rank_of
from services.inference_worker.kv.eviction import Rank
from services.inference_worker.kv.segment import (
    PREFIX_BYTES,
    BadSegment,
    Run,
    Segment,
    decode,
    encode,
    header_length,
)

# A folder that changed less than this before it was read may have changed once more with the same time.
_COARSEST_CLOCK = 1.0

log = structlog.get_logger()


class ModelFolder:
    """`write`, `touch` and `ranks` belong to the writer's thread, all else to the engine's."""

    def __init__(self, path: Path, root: bytes) -> None:
        private_folder(path)
        self.path = path
        self.refused = 0
        self.segments: dict[str, Segment] = {}
        """All that is known by now, by name."""
        self._root = root
        self._names: set[str] = set()
        self._changed = -1

    def scan(self) -> tuple[list[Segment], list[Segment]]:
        """The segments that are new since the last scan or `know`, and those that are gone.

        Bad files are deleted. Costs one look at the folder's time if nothing has changed. Raises OSError.
        """
        before = time.time()
        try:
            changed = self.path.stat().st_mtime_ns
        except FileNotFoundError:
            # Somebody has cleared the cache while we run.
            private_folder(self.path)
            changed = self.path.stat().st_mtime_ns
        if changed == self._changed:
            return [], []
        self._changed = changed if before - changed / 1e9 > _COARSEST_CLOCK else -1
        with os.scandir(self.path) as entries:
            names = {entry.name for entry in entries if entry.name.endswith(SUFFIX)}
        gone, new = self._names - names, names - self._names
        self._names = names
        lost = [self.segments.pop(name) for name in gone if name in self.segments]
        found = [segment for name in sorted(new) if (segment := self._header(name)) is not None]
        self.segments |= {segment.name: segment for segment in found}
        return found, lost

    def know(self, segment: Segment) -> bool:
        """A file that was just written here. False: `scan` was faster."""
        if segment.name in self._names:
            return False
        self._names.add(segment.name)
        self.segments[segment.name] = segment
        return True

    def forget(self, segment: Segment) -> None:
        """The file is of no use any more, wherever it is."""
        self.segments.pop(segment.name, None)

    def delete(self, segment: Segment) -> None:
        """Deletes the file, if it is still there."""
        self.forget(segment)
        self._delete(segment.name)

    def ranks(self) -> dict[str, Rank]:
        """What is known beyond the names, by path."""
        folder = str(self.path)
        return {f"{folder}/{segment.name}": segment.rank for segment in list(self.segments.values())}

    def read(self, segment: Segment, index: int) -> bytes | None:
        """The payload of a block; None: it cannot be had. A damaged file is deleted, one that fails stays."""
        try:
            with self._open(segment.name) as (file, size):
                if size != segment.size:
                    raise BadSegment(f"{size} bytes, {segment.size} are wanted")
                file.seek(segment.offsets[index])
                state = file.read(segment.lengths[index])
            if hashlib.sha256(state).digest() != segment.digests[index]:
                raise BadSegment("the checksum of a block is wrong")
        except BadSegment as error:
            self._refuse(segment.name, error)
            return None
        except OSError as error:
            self._tell(segment.name, error)
            return None
        return state

    def write(self, run: Run, rank: Rank, used: float) -> Segment:
        """Writes a file, last used at that time. Raises OSError; then nothing is left of it.

        It is not forced to the platter: after a power cut the checksums tell what has not arrived.
        """
        name = new_name(rank, run.blocks[0].start)
        header, segment = encode(run, name, rank)
        unfinished = self.path / (name + UNFINISHED)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with os.fdopen(os.open(unfinished, flags, 0o600), "wb") as file:
            try:
                # Who opens the tier meanwhile takes an unlocked file for a dead writer's.
                fcntl.flock(file, fcntl.LOCK_EX)
                file.write(header)
                for state in run.states:
                    file.write(state)
                file.flush()
                os.utime(file.fileno(), (used, used))
                unfinished.rename(self.path / name)
            except BaseException:
                unfinished.unlink(missing_ok=True)
                raise
        return segment

    def touch(self, used: Mapping[str, float]) -> None:
        """Sets the time of the last use of files by name."""
        for name, when in used.items():
            with suppress(FileNotFoundError):
                os.utime(self.path / name, (when, when), follow_symlinks=False)

    def _header(self, name: str) -> Segment | None:
        try:
            rank = rank_of(name)
            if rank is None:
                raise BadSegment("it is not named as kept state is")
            with self._open(name) as (file, size):
                length = header_length(file.read(PREFIX_BYTES), size)
                file.seek(0)
                return decode(file.read(length), size, self._root, name, rank)
        except BadSegment as error:
            self._refuse(name, error)
        except OSError as error:
            self._tell(name, error)
        return None

    def _refuse(self, name: str, why: Exception) -> None:
        self.refused += 1
        log.warning("kv.disk entry refused and deleted", file=name, detail=str(why))
        self._delete(name)

    def _tell(self, name: str, error: OSError) -> None:
        """A file that another worker has deleted is no news; one that cannot be read now may be good."""
        if not isinstance(error, FileNotFoundError):
            log.warning("kv.disk entry cannot be read", file=name, detail=str(error))

    def _delete(self, name: str) -> None:
        try:
            (self.path / name).unlink(missing_ok=True)
        except OSError as error:
            log.warning("kv.disk entry cannot be deleted", file=name, detail=str(error))

    @contextmanager
    def _open(self, name: str) -> Iterator[tuple[BinaryIO, int]]:
        """The file and its size; neither links nor pipes are followed."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(self.path / name, flags)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise BadSegment("it is a link") from error
            raise
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise BadSegment("it is not a file")
        with os.fdopen(descriptor, "rb") as file:
            yield file, status.st_size

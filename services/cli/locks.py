"""Locks on files: one holder at a time, and the kernel drops the lock with its holder."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path


def take(path: Path) -> int:
    """Waits for the lock and returns the descriptor that holds it until it is closed."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Who ends removes the file: a lock on a file that is no longer there protects nothing.
            with contextlib.suppress(FileNotFoundError):
                if os.fstat(descriptor).st_ino == path.stat().st_ino:
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether somebody holds the lock. Makes no file."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextlib.contextmanager
def turn(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Holds the lock meanwhile and leaves no file; `on_wait` is called when somebody else has it."""
    if is_held(path):
        on_wait()
    descriptor = take(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)

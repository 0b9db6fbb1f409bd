"""The seam between the bash tool and the ways to contain it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes. `address_space` and `file_size` hold for each process, `processes` for all of a
    command (of all commands together where the tool server runs as root), `memory_files` for each of
    /tmp and /dev/shm."""

    processes: int = 1024
    address_space: int = 16 * _GIB
    file_size: int = 1 * _GIB
    memory_files: int = 1 * _GIB


@dataclass(frozen=True, slots=True)
class Launch:
    """What to start.

    Killing its process group must end all that the command has started; where that holds only once the
    sandbox is up, `ready` is what is then printed first, before the command begins.
    """

    argv: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str]
    ready: bytes = b""


class Sandbox(Protocol):
    @property
    def inside(self) -> str | None:
        """Where a command sees its session's folder; None: where it is."""

    @property
    def owner(self) -> tuple[int, int] | None:
        """User and group id of the commands, if not this process's own."""

    def launch(self, command: str, folder: Path, seconds: float) -> Launch:
        """Runs `command` in bash in the session's `folder`, for `seconds` at most.

        Raises SwarmError SANDBOX_UNAVAILABLE where commands cannot be contained.
        """

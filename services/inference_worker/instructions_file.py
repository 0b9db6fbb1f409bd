"""The text that tells a model of its tools: the user's file, read again when it changes, or the default."""

from __future__ import annotations

import threading
from importlib import resources
from pathlib import Path

import structlog

from services.inference_worker.chat import instructions

# A file that is longer is no short text; it would be rendered into every prompt.
MAX_BYTES = 16 * 1024

log = structlog.get_logger()


class InstructionsFile:
    """`path` need not exist; it may come, change and go while the worker runs. Safe from several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._default = resources.files(instructions).joinpath("tool_line.txt").read_text(encoding="utf-8")
        self._text = self._default
        self._seen: tuple[int, int] | None = None

    def read(self) -> str:
        """The text now. Of a file that cannot be used the log tells why, and the text before stays."""
        with self._lock:
            try:
                stat = self._path.stat()
            except FileNotFoundError:
                self._text, self._seen = self._default, None
                return self._text
            except OSError as error:
                log.warning("tool_instructions.unreadable", path=str(self._path), error=str(error))
                return self._text
            seen = (stat.st_mtime_ns, stat.st_size)
            if seen != self._seen:
                self._seen = seen
                self._renew()
            return self._text

    def _renew(self) -> None:
        try:
            with self._path.open("rb") as file:
                raw = file.read(MAX_BYTES + 1)
            if len(raw) > MAX_BYTES:
                raise ValueError(f"longer than {MAX_BYTES} bytes")
            text = raw.decode("utf-8")
            if instructions.TOOLS not in text:
                raise ValueError(f"{instructions.TOOLS} is missing, where the tools are listed")
        except (OSError, ValueError) as error:
            log.warning("tool_instructions.unusable", path=str(self._path), error=str(error))
            return
        self._text = text
        log.info("tool_instructions.read", path=str(self._path))

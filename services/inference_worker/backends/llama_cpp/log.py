"""llama.cpp's log lines go to structlog; its last complaints are kept for error messages."""

from __future__ import annotations

import ctypes
from collections import deque

import llama_cpp.llama_cpp as llama
import structlog

# enum ggml_log_level
_WARN, _ERROR, _CONTINUED = 3, 4, 5
_KEPT = 4
_KEPT_WARNINGS = 64

log = structlog.get_logger()

_complaints: deque[str] = deque(maxlen=_KEPT)
_warnings: deque[str] = deque(maxlen=_KEPT_WARNINGS)
_line: list[str] = []
_level = 0


def last_complaints() -> str:
    """The newest error lines, oldest first; empty if there was none since `forget_complaints`."""
    return "; ".join(_complaints)


def warned(words: str) -> bool:
    """Whether a warning with these words came since `forget_complaints`: some choices are told only so."""
    return any(words in line for line in _warnings)


def forget_complaints() -> None:
    _complaints.clear()
    _warnings.clear()


def _on_log(level: int, text: bytes, _user_data: object) -> None:
    """Called by native code, on any thread, with whole lines or pieces of them."""
    global _level
    if level != _CONTINUED:
        _level = level
    if _level not in (_WARN, _ERROR):
        return
    _line.append(text.decode("utf-8", "replace"))
    if not text.endswith(b"\n"):
        return
    line = "".join(_line).strip()
    _line.clear()
    if not line:
        return
    if _level == _ERROR:
        _complaints.append(line)
        log.warning("llama.cpp", line=line)
    else:
        _warnings.append(line)
        log.debug("llama.cpp", line=line)


# Native code keeps the pointer: it must live as long as the process.
_callback = llama.llama_log_callback(_on_log)


def route() -> None:
    """From now on llama.cpp logs here instead of to stderr."""
    llama.llama_log_set(_callback, ctypes.c_void_p(0))

"""Text for people."""

from __future__ import annotations


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters on one line, encodable as UTF-8; an ellipsis marks the cut."""
    line = " ".join(text.encode("utf-8", "backslashreplace").decode("utf-8").split())
    return line if len(line) <= limit else line[: limit - 1] + "…"

"""read: lines of a text file."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from services.common.errors import Reason, SwarmError
from services.tool_server.files import Excerpt, read_text
from services.tool_server.outcome import Outcome
from services.tool_server.paths import Parts, relative_parts
from services.tool_server.sessions import Session
from services.tool_server.tools.base import Arguments, Run

DEFAULT_LINES = 2000


@dataclass(frozen=True, slots=True)
class Read:
    """`max_bytes` bounds what one call returns, notes aside."""

    max_bytes: int
    name: str = "read"
    description: str = (
        "Reads a text file. A long file comes in parts: the result then says with which offset to go on."
    )
    parameters: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "path": {"type": "string", "description": "The file, relative to the working folder."},
            "offset": {
                "type": "integer",
                "minimum": 1,
                "description": "The first line to read, counted from 1. Default: 1.",
            },
            "limit": {
                "type": "integer",
                "minimum": 1,
                "description": f"How many lines to read at most. Default: {DEFAULT_LINES}.",
            },
        },
        "required": ["path"],
        "additionalProperties": False,
    }

    async def run(self, arguments: Arguments, run: Run) -> Outcome:
        parts = relative_parts(arguments["path"], run.session.root_names)
        first = int(arguments.get("offset", 1))
        limit = int(arguments.get("limit", DEFAULT_LINES))
        stop = threading.Event()
        try:
            async with asyncio.timeout(run.seconds):
                excerpt = await asyncio.to_thread(self._read, run.session, parts, first, limit, stop)
        except TimeoutError as error:
            raise SwarmError(
                Reason.DEADLINE_EXCEEDED, f"reading took longer than {run.seconds:g} s"
            ) from error
        finally:
            stop.set()
        return Outcome(_with_note(excerpt, self.max_bytes), truncated=excerpt.more)

    def _read(self, session: Session, parts: Parts, first: int, limit: int, stop: threading.Event) -> Excerpt:
        with session.root() as root:
            return read_text(root, parts, first, limit, self.max_bytes, stop.is_set)


def _with_note(excerpt: Excerpt, max_bytes: int) -> str:
    if excerpt.cut:
        return (
            f"{excerpt.text}\n[line {excerpt.first} is longer than {max_bytes} bytes and is cut here; "
            "bash shows the rest, for example with cut -c]"
        )
    if excerpt.more:
        last = excerpt.first + excerpt.lines - 1
        return f"{excerpt.text}[lines {excerpt.first} to {last}; the file goes on at offset {last + 1}]"
    return excerpt.text or "[the file is empty]"

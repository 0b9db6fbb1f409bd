"""write: a text file as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from services.tool_server.files import write_text
from services.tool_server.outcome import Outcome
from services.tool_server.paths import Parts, relative_parts
from services.tool_server.sessions import Session
from services.tool_server.tools.base import Arguments, Run


@dataclass(frozen=True, slots=True)
class Write:
    name: str = "write"
    description: str = "Writes a text file: makes it, with the folders it needs, or replaces all of it."
    parameters: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "path": {"type": "string", "description": "The file, relative to the working folder."},
            "content": {"type": "string", "description": "The whole text of the file."},
        },
        "required": ["path", "content"],
        "additionalProperties": False,
    }

    async def run(self, arguments: Arguments, run: Run) -> Outcome:
        text: str = arguments["content"]
        parts = relative_parts(arguments["path"], run.session.root_names)
        # A write that has begun ends by itself, whole or not at all; there is nothing to cancel.
        replaced = await asyncio.to_thread(_write, run.session, parts, text)
        verb = "Replaced" if replaced else "Created"
        return Outcome(f"{verb} {'/'.join(parts)} ({len(text.encode())} bytes).")


def _write(session: Session, parts: Parts, text: str) -> bool:
    with session.root() as root:
        return write_text(root, parts, text)

"""What the files hold that the conversation shows, as far as that is certain. Pure.

Known are files that a read tool has listed from the first line to the last, with line numbers and the number
of lines at the end, as OpenCode does, and that no call since can have changed. The lines are taken to be
joined by one kind of newline.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from services.common.chat import Message, Role, ToolCall
from services.common.json_values import object_of
from services.consensus.edits import path_argument, plain_path
from services.consensus.strategies.risk import Classes, Risk, plain_name, risk_of

# Longer lines may have been cut; readers count in UTF-16.
_LONGEST_LINE = 1000
_END = re.compile(r"\(End of file - total (\d+) lines?\)")
_HEAD = re.compile(r"<path>([^\n]+)</path>\n<type>file</type>\n<content>\n+|<file>\n+")
_READERS = frozenset({"read", "readfile"})
# These take a path and change that file alone.
_WRITERS = frozenset({"write", "writefile", "edit", "editfile", "multiedit", "strreplace", "replace"})
# These change no file of the user's.
_ELSEWHERE = frozenset({"todowrite", "question"})


class Files:
    """The known files by path, for one look after the other at calls in their order."""

    def __init__(self, classes: Classes = ()) -> None:
        self._classes = classes
        self._known: dict[str, str] = {}

    def copy(self) -> Files:
        other = Files(self._classes)
        other._known = dict(self._known)
        return other

    def get(self, path: str) -> str | None:
        """The lines of the file, joined by newlines."""
        return self._known.get(path)

    def learn(self, paths: Iterable[str], lines: str) -> None:
        self._known.update({plain_path(path): lines for path in paths})

    def after(self, name: str, arguments: dict[str, Any] | None) -> None:
        """Forgets what a call may have changed: files of the same last name, or everything."""
        plain = plain_name(name)
        if plain in _ELSEWHERE or risk_of(name, arguments, self._classes) is Risk.READING:
            return
        where = path_argument(arguments or {})
        if plain not in _WRITERS or arguments is None or where is None:
            self._known.clear()
            return
        # The same file may go by several paths, relative and absolute.
        last = _last(arguments[where])
        self._known = {path: lines for path, lines in self._known.items() if _last(path) != last}


def files_in(messages: Sequence[Message], classes: Classes = ()) -> Files:
    files = Files(classes)
    reads: dict[str, dict[str, Any]] = {}
    for message in messages:
        if message.role is Role.ASSISTANT:
            reads = _turn(message.tool_calls, files, classes)
        elif message.role is Role.TOOL and (arguments := reads.pop(message.tool_call_id, None)) is not None:
            where = path_argument(arguments)
            listed = lines_of(message.content)
            if where is not None and listed is not None:
                path, lines = listed
                files.learn([arguments[where], *([path] if path else [])], lines)
    return files


def lines_of(listing: str) -> tuple[str, str] | None:
    """The path, if it is told, and the text of a listing; None where it is not certainly the whole file."""
    head = _HEAD.match(listing)
    if head is None:
        return None
    path, mark = head[1] or "", ": " if head[1] else "| "
    lines: list[str] = []
    rest = iter(listing[head.end() :].split("\n"))
    for row in rest:
        number, found, text = row.partition(mark)
        if not found or not number.isdecimal() or int(number) != len(lines) + 1:
            break
        if len(text) >= _LONGEST_LINE:
            return None
        lines.append(text)
    else:
        return None
    end = _END.fullmatch(row or next(rest, ""))
    whole = end is not None and int(end[1]) == len(lines) > 0
    return (path, "\n".join(lines)) if whole else None


def _turn(calls: Sequence[ToolCall], files: Files, classes: Classes) -> dict[str, dict[str, Any]]:
    """The reads of one turn by id: none beside a change, since the calls of a turn may run side by side."""
    reads = {}
    changes = False
    for call in calls:
        arguments = object_of(call.arguments_json)
        files.after(call.name, arguments)
        if plain_name(call.name) in _READERS and arguments is not None:
            reads[call.id] = arguments
        elif risk_of(call.name, arguments, classes) is not Risk.READING:
            changes = changes or plain_name(call.name) not in _ELSEWHERE
    return {} if changes else reads


def _last(path: str) -> str:
    return re.split(r"[/\\]", path)[-1].casefold()

"""Edits that replace one piece of text by another, compared by the text that comes of them. Pure.

Without the file nothing but equal words makes two edits equal. Cutting off the lines that old and new share
would be wrong: what stands once in the file with its context may stand there twice without it, so that one
edit succeeds and the other fails, or an editor that searches loosely finds another place. With the file, both
are applied to it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.consensus.strategies.risk import plain_name

PATHS = ("filePath", "file_path", "path")
_TEXTS = (("oldString", "newString"), ("old_string", "new_string"), ("old_str", "new_str"))
_EVERYWHERE = ("replaceAll", "replace_all")
# By their plain names.
_EDITORS = frozenset({"edit", "editfile", "strreplace", "replace"})
# A first part that no tool takes for anything but a file's name: no `~`, no option, no drive, no variable.
_PLAIN_START = re.compile(r"^(?:\./+)+(?=[\w.])(?![^/]*:)")
_INNER = re.compile(r"/(?:\./+)+")


@dataclass(frozen=True, slots=True)
class Edit:
    path: str
    old: str
    new: str
    everywhere: bool = False


def plain_path(path: str) -> str:
    """`./a`, `.//a` and `a` are one, as are `a/./b` and `a/b`. `..` stays: links may lead elsewhere."""
    return _INNER.sub("/", _PLAIN_START.sub("", path))


def path_argument(arguments: Mapping[str, Any]) -> str | None:
    """The name of the one argument that is a file's path."""
    found = [name for name in PATHS if isinstance(arguments.get(name), str)]
    return found[0] if len(found) == 1 else None


def edit_of(name: str, arguments: Mapping[str, Any]) -> Edit | None:
    """The edit that a call is; None: it is none, or has arguments whose meaning is not known here."""
    where = path_argument(arguments)
    texts = next((pair for pair in _TEXTS if all(isinstance(arguments.get(key), str) for key in pair)), None)
    if plain_name(name) not in _EDITORS or where is None or texts is None:
        return None
    switch = next((key for key in _EVERYWHERE if key in arguments), None)
    everywhere = False if switch is None else arguments[switch]
    known = {where, *texts} if switch is None else {where, *texts, switch}
    if not isinstance(everywhere, bool) or known != set(arguments):
        return None
    old, new = (arguments[key] for key in texts)
    return Edit(plain_path(arguments[where]), old, new, everywhere)


def outcome(edit: Edit, lines: str) -> tuple[str, str] | None:
    """What becomes of a file of these `lines`, joined by newlines, without and with a newline at its end.

    A listing of lines does not say which of the two it is. None: the edit fails, or how it is done is not
    certain, because the old text is not there exactly once.
    """
    without, with_newline = _applied(edit, lines), _applied(edit, lines + "\n")
    return None if without is None or with_newline is None else (without, with_newline)


def _applied(edit: Edit, text: str) -> str | None:
    first = text.find(edit.old)
    if not edit.old or edit.old == edit.new or first < 0:
        return None
    once = text.rfind(edit.old) == first
    if edit.everywhere and not once:
        # Editors written in JavaScript give the dollar sign a meaning when they replace all.
        return None if "$" in edit.new else text.replace(edit.old, edit.new)
    if not once or (edit.everywhere and "$" in edit.new):
        return None
    return text[:first] + edit.new + text[first + len(edit.old) :]

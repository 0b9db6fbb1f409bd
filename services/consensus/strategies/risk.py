"""What a tool call can do at worst, by the tool's name and arguments. Pure.

It sets how many votes a call needs, and is no security boundary: whoever runs the tools has policy and
sandbox for that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import IntEnum
from fnmatch import fnmatchcase
from typing import Any

from services.consensus.strategies.shell import only_reads


class Risk(IntEnum):
    """Of several calls the highest counts."""

    READING = 0
    WRITING = 1
    # Deletes, runs what is not known to read only, or reaches the network.
    DESTRUCTIVE = 2


# Pattern of tool names (* and ?) and class, the first that fits counts.
Classes = Sequence[tuple[str, Risk]]

# As `plain_name` gives them.
_READERS = frozenset({
    "read", "readfile", "readfiles", "view", "viewfile", "list", "ls", "listdir", "listdirectory",
    "listfiles", "glob", "grep", "search", "searchfiles", "todoread", "skill",
})  # fmt: skip
_SHELLS = frozenset({
    "bash", "shell", "sh", "terminal", "runcommand", "executecommand", "runshellcommand",
})  # fmt: skip
# Of a shell tool; another argument (an environment, say) may change what the command does.
_SHELL_ARGUMENTS = frozenset({"command", "timeout", "workdir", "cwd", "description"})
_DESTRUCTIVE_PARTS = (
    "delete", "remove", "destroy", "erase", "purge", "unlink", "shell", "bash", "exec", "terminal",
    "command", "script", "fetch", "http", "browser", "websearch", "codesearch", "download", "upload",
    "deploy", "publish", "install", "email",
)  # fmt: skip
# Too short to be looked for inside of other words.
_DESTRUCTIVE_WORDS = frozenset({
    "rm", "run", "sh", "web", "url", "net", "kill", "send", "post", "push", "drop", "cmd", "mail",
    "eval", "move", "mv", "rename", "reset",
})  # fmt: skip
# Names that a client gives to the tools of other servers.
_FOREIGN = re.compile(r"^mcp[_-]|__|[./:]")
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


def risk_of(name: str, arguments: Mapping[str, Any] | None, chosen: Classes = ()) -> Risk:
    """`arguments` None: they could not be read. `chosen` goes before what is known here.

    Unknown tools write at least; a tool of an unknown server may do anything.
    """
    for pattern, risk in chosen:
        if fnmatchcase(name, pattern):
            return risk
    if _FOREIGN.search(name):
        return Risk.DESTRUCTIVE
    plain = plain_name(name)
    if plain in _READERS:
        return Risk.READING
    if plain in _SHELLS:
        return _of_shell(arguments or {})
    words = {word.casefold() for word in _WORDS.findall(name)}
    if words & _DESTRUCTIVE_WORDS or any(part in plain for part in _DESTRUCTIVE_PARTS):
        return Risk.DESTRUCTIVE
    return Risk.WRITING


def plain_name(name: str) -> str:
    """Without separators and capitals, so that read_file and readFile are one."""
    return "".join(each for each in name if each.isalnum()).casefold()


def _of_shell(arguments: Mapping[str, Any]) -> Risk:
    command = arguments.get("command")
    known = isinstance(command, str) and _SHELL_ARGUMENTS.issuperset(arguments) and only_reads(command)
    return Risk.READING if known else Risk.DESTRUCTIVE

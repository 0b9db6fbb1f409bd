"""Whether a shell command is known to do nothing but read. Pure, and conservative: in doubt it is not.

Known are a few programs, each with the options that neither write nor start something else, joined by pipes,
`&&`, `||` and `;`. Whatever a shell would expand into something else than it looks like (variables,
substitutions, redirections into files) makes a command unknown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# Unquoted, these start something that is not judged here.
_REFUSED = frozenset("`$(){}<>\\!#\n\r")
_REFUSED_IN_QUOTES = frozenset("`$\\")
_GLOB = frozenset("*?[")
# The only redirections that touch no file.
_HARMLESS = re.compile(r"2>(?:&1|\s?/dev/null)(?=[\s|&;]|$)")
_JOINTS = ("&&", "||", "|", ";")


@dataclass(frozen=True, slots=True)
class _Word:
    """`expands`: the shell puts names of files in its place, which may look like options."""

    text: str
    expands: bool


class _UnknownError(Exception):
    """The command has a construct that is not judged here."""


def only_reads(command: str) -> bool:
    """True only where every part of `command` is known to read."""
    try:
        parts = _split(command)
    except _UnknownError:
        return False
    return all(_known(part) for part in parts)


def _known(words: Sequence[_Word]) -> bool:
    if not words or words[0].expands:
        return False
    program, rest = words[0].text, words[1:]
    if program in _PLAIN:
        return True
    judge = _JUDGED.get(program)
    return judge is not None and not any(word.expands for word in rest) and judge([w.text for w in rest])


def _split(command: str) -> list[list[_Word]]:
    """The words of each part. Raises _UnknownError."""
    parts: list[list[_Word]] = [[]]
    place = 0
    while place < len(command):
        if command[place] in " \t":
            place += 1
        elif (harmless := _HARMLESS.match(command, place)) is not None:
            place = harmless.end()
        elif (joint := next((each for each in _JOINTS if command.startswith(each, place)), "")) != "":
            parts.append([])
            place += len(joint)
        else:
            word, place = _word(command, place)
            parts[-1].append(word)
    return parts


def _word(command: str, place: int) -> tuple[_Word, int]:
    text: list[str] = []
    expands = False
    while place < len(command) and command[place] not in " \t;|&":
        sign = command[place]
        if sign in "'\"":
            end = command.find(sign, place + 1)
            inside = command[place + 1 : end]
            if end < 0 or (sign == '"' and _REFUSED_IN_QUOTES & set(inside)):
                raise _UnknownError
            text.append(inside)
            place = end + 1
            continue
        if sign in _REFUSED or not sign.isprintable():
            raise _UnknownError
        expands = expands or sign in _GLOB
        text.append(sign)
        place += 1
    if place < len(command) and command[place] == "&" and not command.startswith("&&", place):
        raise _UnknownError
    return _Word("".join(text), expands), place


# Whatever their options, they write nothing and start nothing.
_PLAIN = frozenset({
    "ls", "pwd", "cd", "cat", "head", "tail", "wc", "stat", "du", "df", "basename", "dirname",
    "realpath", "readlink", "whoami", "id", "uname", "which", "grep", "egrep", "fgrep", "diff", "cmp",
    "cut", "tr", "nl", "cksum", "md5sum", "sha1sum", "sha256sum", "echo", "true", "false", "ps",
})  # fmt: skip


def _options(pattern: str, operands: bool = True) -> Callable[[Sequence[str]], bool]:
    """Words that begin with a dash must match; others are operands, allowed or not."""
    allowed = re.compile(pattern)
    return lambda words: all(
        allowed.fullmatch(word) is not None if word.startswith("-") else operands for word in words
    )


_GIT = {
    "status": _options(r"-[sbv]+|--short|--branch|--porcelain"),
    "log": _options(r"-\d+|-n|-p|--oneline|--stat|--graph|--all|--decorate|--name-only|--name-status|--"),
    "show": _options(r"-\d+|-p|--oneline|--stat|--name-only|--name-status|--"),
    "diff": _options(r"-p|--stat|--cached|--staged|--name-only|--name-status|--"),
    "ls-files": _options(r"-[cmdos]+|--"),
    "rev-parse": _options(r"--short|--show-toplevel|--abbrev-ref|--is-inside-work-tree|--verify"),
    "blame": _options(r"-w|-L|--"),
}


def _git(words: Sequence[str]) -> bool:
    judge = _GIT.get(words[0]) if words else None
    return judge is not None and judge(words[1:])


def _sed(words: Sequence[str]) -> bool:
    """Only lines printed by their numbers: sed has commands that write files and run programs."""
    return (
        len(words) >= 2
        and words[0] == "-n"
        and re.fullmatch(r"\d+(,(\d+|\$))?p", words[1]) is not None
        and not any(word.startswith("-") for word in words[2:])
    )


_JUDGED: dict[str, Callable[[Sequence[str]], bool]] = {
    "git": _git,
    "sed": _sed,
    "find": _options(
        r"-(name|iname|path|ipath|type|maxdepth|mindepth|size|newer|mtime|mmin|empty|not|o|a|or|and|print|print0)"
    ),
    "rg": _options(r"-[nilcwoFvSHhe]+|-[gtABC]|-[ABC]\d+|--files|--hidden|--no-heading"),
    "tree": _options(r"-[adfL]+"),
    "sort": _options(r"-[bdfghinruVM]+|-k[\d,.nr]*|-t"),
    # A second operand is the file that it writes.
    "uniq": _options(r"-[cdiu]+", operands=False),
    "date": lambda words: len(words) <= 1 and all(word.startswith("+") or word == "-u" for word in words),
    "file": _options(r"-[bi]+"),
}

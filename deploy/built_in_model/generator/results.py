"""What a tool says to the call of a request, as the real ones say it, and the one right answer.

The answer is a function of the request and of the result alone. One result in ten is a failure.
"""

from __future__ import annotations

from deploy.built_in_model.generator import results_files as files
from deploy.built_in_model.generator import results_output as output
from deploy.built_in_model.generator.names import Names
from deploy.built_in_model.generator.outcomes import Outcome, absolute
from deploy.built_in_model.generator.requests import Request
from deploy.built_in_model.generator.texts import code_line

ERRORS = (
    "ValueError KeyError TypeError ModuleNotFoundError NameError ZeroDivisionError RuntimeError OSError"
).split()


def _what(request: Request) -> str:
    """The work in words, for "I could not …"."""
    s = request.slots
    words = {
        "list": "list the files",
        "list_dir": "list {dir}",
        "read": "read {path}",
        "read_key": "read {path}",
        "write_quoted": "write {path}",
        "write_plain": "write {path}",
        "touch": "create {path}",
        "edit": "edit {path}",
        "grep": "search",
        "grep_dir": "search",
        "glob_ext": "find files",
        "glob_name": "find {name}",
        "mkdir": "create {dir}",
        "delete": "delete {path}",
        "fetch": "fetch {url}",
    }
    return words.get(request.intent, "run the command").format(**s)


def failure(n: Names, request: Request) -> Outcome:
    """The tool failed: the answer gives its message in words."""
    s = request.slots
    target = s.get("path") or s.get("dir") or s.get("name") or "."
    if request.intent == "fetch":
        host = s["url"].split("/")[2]
        error = n.pick(
            (
                f"Request failed with status code: {n.pick(('404', '500', '403', '502'))}",
                "Error: connection refused",
                "Error: timed out",
                f"curl: (6) Could not resolve host: {host}",
                f"StatusCode: non 2xx status code (404 GET {s['url']})",
            )
        )
    elif request.intent in ("run", "run_file", "shell_fact", "grep", "grep_dir", "glob_ext", "glob_name"):
        tool = s.get("cmd", "python3 x").split()[0]
        last = f"{n.pick(ERRORS)}: {n.phrase(1, 4)}"
        if request.intent in ("run", "run_file") and n.chance(0.5):
            where = absolute(n, s.get("path", n.file("py")))
            trace = (
                f'Traceback (most recent call last):\n  File "{where}", line {n.number(99, 1)}, in <module>\n'
                f"    {code_line(n)}\n{last}"
            )
            return Outcome(trace, f"The command failed: {last}", [last], True)
        error = n.pick(
            (
                f"bash: {tool}: command not found",
                f"/bin/sh: 1: {tool}: not found",
                f"{tool}: {n.phrase(1, 3)}: Permission denied",
                f"{tool}: error: {n.phrase(2, 4)}",
                f"Error: {n.phrase(2, 5)}",
                f"{tool}: can't open file '{absolute(n, n.file())}': [Errno 2] No such file or directory",
                f"Command failed with exit code {n.number(127, 1)}",
            )
        )
        if request.intent in ("run", "run_file", "shell_fact"):
            return Outcome(error, f"The command failed: {error}", [error], True)
    else:
        error = n.pick(
            (
                f"File not found: {absolute(n, target)}",
                f"Error: File not found: {target}",
                f"cat: {target}: No such file or directory",
                f"Permission denied: {target}",
                f"Error: ENOENT: no such file or directory, open '{absolute(n, target)}'",
                f"[Errno 2] No such file or directory: '{target}'",
                f"Error: {target} is a directory",
                "Error: oldString not found in content"
                if request.intent == "edit"
                else f"Error: {n.phrase(2, 5)}",
                "The user rejected permission to use this specific tool call.",
            )
        )
    return Outcome(error, f"I could not {_what(request)}: {error}", [error], True)


def make(n: Names, request: Request) -> Outcome:
    """What the tool says to a request's call, and the answer. One result in ten is a failure."""
    if n.chance(0.1):
        return failure(n, request)
    makers = {
        "list": files.listing,
        "list_dir": files.listing,
        "read": files.reading,
        "read_key": files.looking_up,
        "write_quoted": files.writing,
        "write_plain": files.writing,
        "touch": files.writing,
        "edit": files.editing,
        "grep": output.searching,
        "grep_dir": output.searching,
        "glob_ext": output.finding,
        "glob_name": output.finding,
        "fetch": output.fetching,
        "mkdir": files.changing,
        "delete": files.changing,
    }
    return makers.get(request.intent, output.running)(n, request)

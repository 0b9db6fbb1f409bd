"""What tools print, as the real ones print it, and the one right answer to it.

Every function returns an Outcome: the tool's text, the sentence that the model has to say, and the strings of the
result which that sentence quotes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from deploy.built_in_model.generator.names import CODE_EXTENSIONS, Names
from deploy.built_in_model.generator.requests import Request
from deploy.built_in_model.generator.texts import block, code_line, line, sentence

NOTHING = ("", "(no output)", "(no output)", "(empty)")


@dataclass
class Outcome:
    """A tool's text, the answer to it, what the answer quotes, and whether the tool failed."""

    result: str
    answer: str
    quotes: list[str]
    failed: bool = False


def join(items: list[str]) -> str:
    """a, b and c."""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


def base(n: Names) -> str:
    """An absolute folder."""
    return n.pick((f"/home/{n.word()}/{n.word()}", f"/tmp/{n.word()}", f"/srv/{n.word()}", f"/Users/{n.word()}/{n.word()}", f"/tmp/{n.syllables()}-{n.number()}/{n.word()}", "/work", "/workspace"))


def absolute(n: Names, path: str) -> str:
    """The path as tools print it."""
    return path if path.startswith(("/", "~")) else f"{base(n)}/{path.removeprefix('./')}"


def file_text(n: Names, path: str, rows: list[str], shell: bool) -> str:
    """A file's lines in one of the forms in which tools show them."""
    x = n.rng.random()
    if shell or x < 0.35:
        return "\n".join(rows)
    if x < 0.85:
        body = "".join(f"{i}: {row}\n" for i, row in enumerate(rows, 1))
        return f"<path>{absolute(n, path)}</path>\n<type>file</type>\n<content>\n{body}\n(End of file - total {len(rows)} lines)\n</content>"
    if x < 0.92:
        return "<file>\n" + "\n".join(f"{i:05d}| {row}" for i, row in enumerate(rows, 1)) + "\n</file>"
    return "\n".join(f"{i}\t{row}" for i, row in enumerate(rows, 1))


def _entries(n: Names, count: int) -> list[str]:
    names = [n.file() if n.chance(0.75) else n.stem() + n.pick(("/", "")) for _ in range(count)]
    return list(dict.fromkeys(names))


def _what(request: Request) -> str:
    """The work in words, for "I could not …"."""
    s = request.slots
    words = {
        "list": "list the files", "list_dir": "list {dir}", "read": "read {path}", "read_key": "read {path}", "write_quoted": "write {path}",
        "write_plain": "write {path}", "touch": "create {path}", "edit": "edit {path}", "grep": "search", "grep_dir": "search", "glob_ext": "find files",
        "glob_name": "find {name}", "mkdir": "create {dir}", "delete": "delete {path}", "fetch": "fetch {url}",
    }  # fmt: skip
    return words.get(request.intent, "run the command").format(**s)


def failure(n: Names, request: Request) -> Outcome:
    """The tool failed: the answer gives its message in words."""
    s = request.slots
    target = s.get("path") or s.get("dir") or s.get("name") or "."
    if request.intent == "fetch":
        host = s["url"].split("/")[2]
        error = n.pick((f"Request failed with status code: {n.pick(('404', '500', '403', '502'))}", "Error: connection refused", "Error: timed out", f"curl: (6) Could not resolve host: {host}", f"StatusCode: non 2xx status code (404 GET {s['url']})"))
    elif request.intent in ("run", "run_file", "shell_fact", "grep", "grep_dir", "glob_ext", "glob_name"):
        tool = s.get("cmd", "python3 x").split()[0]
        last = f"{n.pick(('ValueError', 'KeyError', 'TypeError', 'ModuleNotFoundError', 'NameError', 'ZeroDivisionError', 'RuntimeError', 'AssertionError'))}: {n.phrase(1, 4)}"
        if request.intent in ("run", "run_file") and n.chance(0.5):
            trace = f'Traceback (most recent call last):\n  File "{absolute(n, s.get("path", n.file("py")))}", line {n.number(99, 1)}, in <module>\n    {code_line(n)}\n{last}'
            return Outcome(trace, f"The command failed: {last}", [last], True)
        error = n.pick((f"bash: {tool}: command not found", f"/bin/sh: 1: {tool}: not found", f"{tool}: {n.phrase(1, 3)}: Permission denied", f"{tool}: error: {n.phrase(2, 4)}", f"Error: {n.phrase(2, 5)}", f"{tool}: can't open file '{absolute(n, n.file())}': [Errno 2] No such file or directory", f"Command failed with exit code {n.number(127, 1)}"))
        if request.intent in ("run", "run_file", "shell_fact"):
            return Outcome(error, f"The command failed: {error}", [error], True)
    else:
        error = n.pick((f"File not found: {absolute(n, target)}", f"Error: File not found: {target}", f"cat: {target}: No such file or directory", f"Permission denied: {target}", f"Error: ENOENT: no such file or directory, open '{absolute(n, target)}'", f"[Errno 2] No such file or directory: '{target}'", f"Error: {target} is a directory", "Error: oldString not found in content" if request.intent == "edit" else f"Error: {n.phrase(2, 5)}", "The user rejected permission to use this specific tool call."))
    return Outcome(error, f"I could not {_what(request)}: {error}", [error], True)


def listing(n: Names, request: Request) -> Outcome:
    """A folder's entries; past ten the answer names the first eight."""
    where = request.slots.get("dir", "This folder")
    count = n.rng.choice((0, 1, 2, 2, 3, 3, 3, 4, 4, 5, 5, 6, 7, 8, 10, 12, 15))
    entries = _entries(n, count)
    if not entries:
        return Outcome(n.pick(NOTHING), f"{where} is empty.", ["empty"])
    x = n.rng.random()
    if request.shell:
        entries = list(dict.fromkeys(entry.rstrip("/") for entry in entries))
    text = "\n".join(entries)
    if not request.shell:
        if x < 0.12:
            text = f"<path>{base(n)}</path>\n<type>directory</type>\n<entries>\n{text}\n\n({len(entries)} entries)\n</entries>"
        elif x < 0.2:
            text = json.dumps(entries)
        elif x < 0.28:
            text = "\n".join(f"{'[DIR]' if entry.endswith('/') else '[FILE]'} {entry}" for entry in entries)
        elif x < 0.34:
            text = f"{base(n)}/\n" + "\n".join(f"  {entry}" for entry in entries)
        elif x < 0.4:
            text = "\n".join(f"- {entry}" for entry in entries)
    if len(entries) > 10 or len(text) > 590:
        shown = entries[:8]
        return Outcome(text, f"{where} contains {', '.join(shown)} and more.", shown)
    return Outcome(text, f"{where} contains {join(entries)}.", entries)


def reading(n: Names, request: Request) -> Outcome:
    """A file's text: quoted whole up to eight lines, else its first three."""
    path = request.slots["path"]
    x = n.rng.random()
    if x < 0.05:
        return Outcome(n.pick(NOTHING) if request.shell else file_text(n, path, [], False) or "(empty)", f"{path} is empty.", ["empty"])
    if x < 0.5:
        rows = [line(n)]
    elif x < 0.88:
        rows = (block(n) if n.chance(0.5) else "\n".join(sentence(n) for _ in range(n.rng.randint(2, 5)))).split("\n")
    else:
        rows = [line(n) for _ in range(n.rng.randint(9, 14))]
    text = file_text(n, path, rows, request.shell)
    if len(rows) == 1:
        return Outcome(text, f"{path} says: {rows[0]}", rows)
    if len(rows) > 8 or len(text) > 590:
        return Outcome(text, f"{path} starts with:\n" + "\n".join(rows[:3]), rows[:3])
    return Outcome(text, f"{path} says:\n" + "\n".join(rows), [row for row in rows if row])


def looking_up(n: Names, request: Request) -> Outcome:
    """The value of a key in a file of settings."""
    path, key, value = request.slots["path"], request.slots["key"], n.value()
    form = n.pick(("{k} = {v}", "{k}={v}", "{k}: {v}", '"{k}": "{v}",', '{k} = "{v}"', "{k} = '{v}'", "{k}: {v}", "{k}={v}"))
    rows: list[str] = []
    for _ in range(n.rng.randint(0, 5)):
        other = n.key()
        if other.lower() not in key.lower() and key.lower() not in other.lower():
            rows.append(form.replace("{k}", other).replace("{v}", n.value()))
    if n.chance(0.1):
        rows = rows or [form.replace("{k}", "x").replace("{v}", "1")]
        rows = [row for row in rows if key not in row] or ["x = 1"]
        return Outcome(file_text(n, path, rows, request.shell), f"I did not find {key} in {path}.", ["did not find", key])
    rows.insert(n.rng.randint(0, len(rows)), form.replace("{k}", key).replace("{v}", value))
    text = "\n".join(rows)
    if form.startswith('"'):
        rows = ["{", *(f"  {row}" for row in rows), "}"]
        rows[-2] = rows[-2].rstrip(",")
    text = file_text(n, path, rows, request.shell)
    while len(text) > 590:
        return looking_up(n, request)
    return Outcome(text, f"The {key} in {path} is {value}.", [value])


def _silent(n: Names, request: Request, *said: str) -> str:
    return n.pick(("", "(no output)", "(no output)")) if request.shell else n.pick(said)


def writing(n: Names, request: Request) -> Outcome:
    """A confirmation: the answer repeats path and text, or the path alone if the text is long."""
    path, text = request.slots["path"], request.slots.get("text", "")
    result = _silent(n, request, "Wrote file successfully.", "Wrote file successfully.", f"Wrote {len(text.encode())} bytes to {path}", f"File created: {path}", "ok", "OK", "", f"Successfully wrote {path}", '{"ok": true}')
    if request.intent == "touch":
        return Outcome(result, f"I created the empty file {path}.", [path])
    if "\n" in text or len(text) > 80:
        return Outcome(result, f"I wrote {path}.", [path])
    return Outcome(result, f"I wrote {path} with the text: {text}", [path, text])


def editing(n: Names, request: Request) -> Outcome:
    """An edit's confirmation."""
    s = request.slots
    result = _silent(n, request, "Edit applied successfully.", "Edit applied successfully.", f"Edited {s['path']}", "ok", f"Replaced 1 occurrence in {s['path']}", "1 replacement made")
    return Outcome(result, f"I replaced {s['old']} with {s['new']} in {s['path']}.", [s["path"], s["old"], s["new"]])


def searching(n: Names, request: Request) -> Outcome:
    """Matches with file and line; past three the answer says that there are more."""
    pattern = request.slots["pattern"]
    if n.chance(0.15):
        return Outcome(n.pick(NOTHING) if request.shell else n.pick(("No files found", "No matches found", "", "(no output)", "No matches")), f"I found no {pattern}.", [pattern])
    folder = request.slots.get("dir", "").rstrip("/")
    files = list(dict.fromkeys(n.file(n.pick(CODE_EXTENSIONS)) for _ in range(n.rng.choice((1, 1, 1, 2, 2, 3, 4)))))
    files = [f"{folder}/{file}" if folder else n.pick(("", "", f"{n.word()}/")) + file for file in files]
    hits = [(file, n.number(400, 1), n.pick((f"{pattern} {n.phrase(1, 3)}", f"{n.phrase(1, 2)} {pattern}", f"    {pattern}({n.word()})", pattern))) for file in files]
    if request.shell or n.chance(0.4):
        mark = "./" if request.shell and not folder and n.chance(0.7) else ""
        hits = [(mark + file, number, text) for file, number, text in hits]
        result = "\n".join(f"{file}:{number}:{text}" for file, number, text in hits)
    else:
        root = base(n)
        hits = [(absolute(n, file) if file.startswith(("/", "~")) else f"{root}/{file}", number, text) for file, number, text in hits]
        result = f"Found {len(hits)} matches\n" + "\n\n".join(f"{file}:\n  Line {number}: {text}" for file, number, text in hits)
    if len(result) > 590:
        return searching(n, request)
    shown = [f"{file} line {number}" for file, number, _ in hits[:3]]
    answer = f"I found {pattern} in {join(shown)}." if len(hits) <= 3 else f"I found {pattern} in {', '.join(shown)} and more."
    return Outcome(result, answer, [part for file, number, _ in hits[:3] for part in (file, str(number))])


def finding(n: Names, request: Request) -> Outcome:
    """Files found by name; past six the answer names the first five."""
    s = request.slots
    wanted = s.get("name") or f".{s['ext']} files"
    if n.chance(0.15):
        return Outcome(n.pick(NOTHING) if request.shell else n.pick(("No files found", "", "(no output)", "No files match")), f"I found no {wanted}.", [wanted])
    count = n.rng.choice((1, 1, 1, 2)) if "name" in s else n.rng.choice((1, 2, 2, 3, 3, 4, 5, 8))
    root = "." if request.shell else base(n) if n.chance(0.65) else ""
    files = []
    for _ in range(count):
        folder = n.pick(("", "", f"{n.word()}/", f"{n.word()}/{n.word()}/"))
        files.append((f"{root}/" if root else "") + folder + (s.get("name") or n.file(s["ext"])))
    files = list(dict.fromkeys(files))
    result = "\n".join(files)
    if len(result) > 590:
        return finding(n, request)
    if len(files) > 6:
        return Outcome(result, f"I found {', '.join(files[:5])} and more.", files[:5])
    return Outcome(result, f"I found {join(files)}.", files)


def fetching(n: Names, request: Request) -> Outcome:
    """A page: the answer quotes its first line or its title."""
    url = request.slots["url"]
    first = n.pick((sentence(n), f"{n.word().title()} {n.phrase(1, 3)}", f"Welcome to {n.word().title()}!", f"{n.word().title()} is a {n.phrase(2, 4)}."))
    rest = [sentence(n) for _ in range(n.rng.randint(0, 5))]
    x = n.rng.random()
    if x < 0.35:
        result = f"# {first}\n\n" + "\n".join(rest)
    elif x < 0.5:
        result = f"<html><head><title>{first}</title></head><body>" + "".join(f"<p>{row}</p>" for row in rest) + "</body></html>"
    elif x < 0.65:
        first = json.dumps({n.word(): n.value(), n.word(): n.number()}, ensure_ascii=False)
        result = first
    else:
        result = "\n".join([first, *rest])
    if len(result) > 590:
        return fetching(n, request)
    return Outcome(result.strip(), f"The page {url} says: {first}", [first])


def _fact(n: Names, cmd: str) -> list[str]:
    """The lines that a command for a fact prints."""
    known: dict[str, list[str]] = {
        "pwd": [base(n)],
        "whoami": [n.word()],
        "hostname": [n.stem()],
        "date": [f"{n.pick(('Mon', 'Tue', 'Wed', 'Thu', 'Fri'))} {n.pick(('Jan', 'May', 'Nov'))} {n.number(28, 1)} {n.number(23, 10)}:{n.number(59, 10)}:{n.number(59, 10)} UTC 20{n.number(39, 24)}"],
        "python3 --version": [f"Python 3.{n.number(14, 8)}.{n.number(12)}"],
        "node --version": [f"v{n.number(25, 14)}.{n.number(20)}.{n.number(9)}"],
        "git --version": [f"git version 2.{n.number(50, 20)}.{n.number(9)}"],
        "nproc": [str(n.number(64, 1))],
        "uname -a": [f"Linux {n.word()} {n.number(6, 4)}.{n.number(20)}.{n.number(99)}-generic x86_64 GNU/Linux"],
        "uptime": [f"{n.number(23, 10)}:{n.number(59, 10)}:00 up {n.number(99, 1)} days, {n.number(9, 1)} users, load average: 0.{n.number(99, 10)}"],
        "git branch": [f"* {n.stem()}"],
        "git status": [f"On branch {n.stem()}", n.pick(("nothing to commit, working tree clean", f"modified:   {n.path()}"))],
        "df -h": ["Filesystem Size Used Avail Use% Mounted on", f"/dev/{n.word()} {n.number(900, 10)}G {n.number(99)}G {n.number(99)}G {n.number(99)}% /"],
    }
    return known.get(cmd) or [sentence(n) for _ in range(n.rng.choice((1, 2, 3)))]


def running(n: Names, request: Request) -> Outcome:
    """A command's output: quoted whole up to six lines, else its first three."""
    cmd = request.slots.get("cmd", "")
    x = n.rng.random()
    if request.intent == "shell_fact":
        rows = _fact(n, cmd)
    elif x < 0.13:
        return Outcome(n.pick(NOTHING[:3]), "The command ran without output.", ["without output"])
    elif x < 0.62:
        rows = [n.pick((sentence(n), sentence(n), str(n.number(99999)), f"{n.number()}.{n.number()}", n.phrase(1, 4), n.path(), f"{n.phrase(1, 2)}: {n.number()}", f"{n.number(60, 1)} passed in 0.{n.number(99, 10)}s"))]
    elif x < 0.88:
        rows = [line(n) for _ in range(n.rng.randint(2, 5))]
    else:
        rows = [line(n) for _ in range(n.rng.randint(7, 14))]
    text = "\n".join(rows)
    if len(rows) == 1:
        return Outcome(text, f"The output is: {rows[0]}", rows)
    if len(rows) > 6 or len(text) > 590:
        return Outcome(text, "The output starts with:\n" + "\n".join(rows[:3]), rows[:3])
    return Outcome(text, "The output is:\n" + text, rows)


def changing(n: Names, request: Request) -> Outcome:
    """A new folder or a deleted file: the shell says nothing."""
    s = request.slots
    if request.intent == "mkdir":
        return Outcome(n.pick(NOTHING[:3]), f"I created the folder {s['dir']}.", [s["dir"]])
    return Outcome(n.pick(NOTHING[:3]), f"I deleted {s['path']}.", [s["path"]])


def make(n: Names, request: Request) -> Outcome:
    """What the tool says to a request's call, and the answer. One result in ten is a failure."""
    if n.chance(0.1):
        return failure(n, request)
    makers = {
        "list": listing, "list_dir": listing, "read": reading, "read_key": looking_up, "write_quoted": writing, "write_plain": writing, "touch": writing,
        "edit": editing, "grep": searching, "grep_dir": searching, "glob_ext": finding, "glob_name": finding, "fetch": fetching, "mkdir": changing, "delete": changing,
    }  # fmt: skip
    return makers.get(request.intent, running)(n, request)

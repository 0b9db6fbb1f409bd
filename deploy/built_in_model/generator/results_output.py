"""Results of searching, fetching and running, and the one right answer to each."""

from __future__ import annotations

import json

from deploy.built_in_model.generator.names import CODE_EXTENSIONS, Names
from deploy.built_in_model.generator.outcomes import (
    NOTHING,
    Outcome,
    absolute,
    base,
    join,
)
from deploy.built_in_model.generator.requests import Request
from deploy.built_in_model.generator.texts import line, sentence


def searching(n: Names, request: Request) -> Outcome:
    """Matches with file and line; past three the answer says that there are more."""
    pattern = request.slots["pattern"]
    if n.chance(0.15):
        return Outcome(
            n.pick(NOTHING)
            if request.shell
            else n.pick(("No files found", "No matches found", "", "(no output)", "No matches")),
            f"I found no {pattern}.",
            [pattern],
        )
    folder = request.slots.get("dir", "").rstrip("/")
    files = list(
        dict.fromkeys(n.file(n.pick(CODE_EXTENSIONS)) for _ in range(n.rng.choice((1, 1, 1, 2, 2, 3, 4))))
    )
    files = [f"{folder}/{file}" if folder else n.pick(("", "", f"{n.word()}/")) + file for file in files]
    hits = [
        (
            file,
            n.number(400, 1),
            n.pick(
                (
                    f"{pattern} {n.phrase(1, 3)}",
                    f"{n.phrase(1, 2)} {pattern}",
                    f"    {pattern}({n.word()})",
                    pattern,
                )
            ),
        )
        for file in files
    ]
    if request.shell or n.chance(0.4):
        mark = "./" if request.shell and not folder and n.chance(0.7) else ""
        hits = [(mark + file, number, text) for file, number, text in hits]
        result = "\n".join(f"{file}:{number}:{text}" for file, number, text in hits)
    else:
        root = base(n)
        hits = [
            (absolute(n, file) if file.startswith(("/", "~")) else f"{root}/{file}", number, text)
            for file, number, text in hits
        ]
        result = f"Found {len(hits)} matches\n" + "\n\n".join(
            f"{file}:\n  Line {number}: {text}" for file, number, text in hits
        )
    if len(result) > 590:
        return searching(n, request)
    shown = [f"{file} line {number}" for file, number, _ in hits[:3]]
    answer = (
        f"I found {pattern} in {join(shown)}."
        if len(hits) <= 3
        else f"I found {pattern} in {', '.join(shown)} and more."
    )
    return Outcome(result, answer, [part for file, number, _ in hits[:3] for part in (file, str(number))])


def finding(n: Names, request: Request) -> Outcome:
    """Files found by name; past six the answer names the first five."""
    s = request.slots
    wanted = s.get("name") or f".{s['ext']} files"
    if n.chance(0.15):
        return Outcome(
            n.pick(NOTHING)
            if request.shell
            else n.pick(("No files found", "", "(no output)", "No files match")),
            f"I found no {wanted}.",
            [wanted],
        )
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
    first = n.pick(
        (
            sentence(n),
            f"{n.word().title()} {n.phrase(1, 3)}",
            f"Welcome to {n.word().title()}!",
            f"{n.word().title()} is a {n.phrase(2, 4)}.",
        )
    )
    rest = [sentence(n) for _ in range(n.rng.randint(0, 5))]
    x = n.rng.random()
    if x < 0.35:
        result = f"# {first}\n\n" + "\n".join(rest)
    elif x < 0.5:
        result = (
            f"<html><head><title>{first}</title></head><body>"
            + "".join(f"<p>{row}</p>" for row in rest)
            + "</body></html>"
        )
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
        "date": [
            (
                f"{n.pick(('Mon', 'Tue', 'Wed', 'Thu', 'Fri'))} {n.pick(('Jan', 'May', 'Nov'))} "
                f"{n.number(28, 1)} {n.number(23, 10)}:{n.number(59, 10)}:{n.number(59, 10)} UTC "
                f"20{n.number(39, 24)}"
            )
        ],
        "python3 --version": [f"Python 3.{n.number(14, 8)}.{n.number(12)}"],
        "node --version": [f"v{n.number(25, 14)}.{n.number(20)}.{n.number(9)}"],
        "git --version": [f"git version 2.{n.number(50, 20)}.{n.number(9)}"],
        "nproc": [str(n.number(64, 1))],
        "uname -a": [
            f"Linux {n.word()} {n.number(6, 4)}.{n.number(20)}.{n.number(99)}-generic x86_64 GNU/Linux"
        ],
        "uptime": [
            (
                f"{n.number(23, 10)}:{n.number(59, 10)}:00 up {n.number(99, 1)} days, {n.number(9, 1)} "
                f"users, load average: 0.{n.number(99, 10)}"
            )
        ],
        "git branch": [f"* {n.stem()}"],
        "git status": [
            f"On branch {n.stem()}",
            n.pick(("nothing to commit, working tree clean", f"modified:   {n.path()}")),
        ],
        "df -h": [
            "Filesystem Size Used Avail Use% Mounted on",
            f"/dev/{n.word()} {n.number(900, 10)}G {n.number(99)}G {n.number(99)}G {n.number(99)}% /",
        ],
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
        rows = [
            n.pick(
                (
                    sentence(n),
                    sentence(n),
                    str(n.number(99999)),
                    f"{n.number()}.{n.number()}",
                    n.phrase(1, 4),
                    n.path(),
                    f"{n.phrase(1, 2)}: {n.number()}",
                    f"{n.number(60, 1)} passed in 0.{n.number(99, 10)}s",
                )
            )
        ]
    elif x < 0.95:
        rows = [line(n) for _ in range(n.rng.randint(2, 5))]
    else:
        rows = [line(n) for _ in range(n.rng.randint(7, 14))]
    text = "\n".join(rows)
    if len(rows) == 1:
        return Outcome(text, f"The output is: {rows[0]}", rows)
    if len(rows) > 6 or len(text) > 590:
        return Outcome(text, "The output starts with:\n" + "\n".join(rows[:3]), rows[:3])
    return Outcome(text, "The output is:\n" + text, rows)

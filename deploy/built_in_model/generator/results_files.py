"""Results of listing, reading, writing and editing, and the one right answer to each."""

from __future__ import annotations

import json

from deploy.built_in_model.generator.names import Names
from deploy.built_in_model.generator.outcomes import (
    NOTHING,
    Outcome,
    absolute,
    base,
    join,
)
from deploy.built_in_model.generator.requests import Request
from deploy.built_in_model.generator.texts import block, line, sentence


def file_text(n: Names, path: str, rows: list[str], shell: bool) -> str:
    """A file's lines in one of the forms in which tools show them."""
    x = n.rng.random()
    if shell or x < 0.35:
        return "\n".join(rows)
    if x < 0.85:
        body = "".join(f"{i}: {row}\n" for i, row in enumerate(rows, 1))
        return (
            f"<path>{absolute(n, path)}</path>\n<type>file</type>\n<content>\n{body}\n(End of file - "
            f"total {len(rows)} lines)\n</content>"
        )
    if x < 0.92:
        return "<file>\n" + "\n".join(f"{i:05d}| {row}" for i, row in enumerate(rows, 1)) + "\n</file>"
    return "\n".join(f"{i}\t{row}" for i, row in enumerate(rows, 1))


def _entries(n: Names, count: int) -> list[str]:
    names = [n.file() if n.chance(0.75) else n.stem() + n.pick(("/", "")) for _ in range(count)]
    return list(dict.fromkeys(names))


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
            text = (
                f"<path>{base(n)}</path>\n<type>directory</type>\n<entries>\n{text}\n\n({len(entries)} "
                f"entries)\n</entries>"
            )
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
        return Outcome(
            n.pick(NOTHING) if request.shell else file_text(n, path, [], False) or "(empty)",
            f"{path} is empty.",
            ["empty"],
        )
    if x < 0.5:
        rows = [line(n)]
    elif x < 0.95:
        rows = (
            block(n) if n.chance(0.5) else "\n".join(sentence(n) for _ in range(n.rng.randint(2, 5)))
        ).split("\n")
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
    form = n.pick(
        (
            "{k} = {v}",
            "{k}={v}",
            "{k}: {v}",
            '"{k}": "{v}",',
            '{k} = "{v}"',
            "{k} = '{v}'",
            "{k}: {v}",
            "{k}={v}",
        )
    )
    rows: list[str] = []
    for _ in range(n.rng.randint(0, 5)):
        other = n.key()
        if other.lower() not in key.lower() and key.lower() not in other.lower():
            rows.append(form.replace("{k}", other).replace("{v}", n.value()))
    if n.chance(0.1):
        rows = rows or [form.replace("{k}", "x").replace("{v}", "1")]
        rows = [row for row in rows if key not in row] or ["x = 1"]
        return Outcome(
            file_text(n, path, rows, request.shell), f"I did not find {key} in {path}.", ["did not find", key]
        )
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
    result = _silent(
        n,
        request,
        "Wrote file successfully.",
        "Wrote file successfully.",
        f"Wrote {len(text.encode())} bytes to {path}",
        f"File created: {path}",
        "ok",
        "OK",
        "",
        f"Successfully wrote {path}",
        '{"ok": true}',
    )
    if request.intent == "touch":
        return Outcome(result, f"I created the empty file {path}.", [path])
    if "\n" in text or len(text) > 80:
        return Outcome(result, f"I wrote {path}.", [path])
    return Outcome(result, f"I wrote {path} with the text: {text}", [path, text])


def editing(n: Names, request: Request) -> Outcome:
    """An edit's confirmation."""
    s = request.slots
    result = _silent(
        n,
        request,
        "Edit applied successfully.",
        "Edit applied successfully.",
        f"Edited {s['path']}",
        "ok",
        f"Replaced 1 occurrence in {s['path']}",
        "1 replacement made",
    )
    return Outcome(
        result, f"I replaced {s['old']} with {s['new']} in {s['path']}.", [s["path"], s["old"], s["new"]]
    )


def changing(n: Names, request: Request) -> Outcome:
    """A new folder or a deleted file: the shell says nothing."""
    s = request.slots
    if request.intent == "mkdir":
        return Outcome(n.pick(NOTHING[:3]), f"I created the folder {s['dir']}.", [s["dir"]])
    return Outcome(n.pick(NOTHING[:3]), f"I deleted {s['path']}.", [s["path"]])

"""One request and the one right call for it, under a given tool set.

Ambiguity is a bug: a request has one canonical call, a function of the words and of the tools alone. The
fitting tool goes before the shell; without either the model has to say that it has no tool.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from deploy.built_in_model.generator.asking import ask, quoted
from deploy.built_in_model.generator.names import EXTENSIONS, RUNNERS, Names
from deploy.built_in_model.generator.phrasings import draw, known_commands, pair
from deploy.built_in_model.generator.texts import (
    block,
    code_line,
    command,
    line,
    sentence,
)
from deploy.built_in_model.generator.toolsets import ToolSet

WEIGHTS = {
    "list": 6,
    "list_dir": 8,
    "read": 12,
    "read_key": 11,
    "write_quoted": 14,
    "write_plain": 10,
    "touch": 4,
    "edit": 14,
    "run": 11,
    "run_file": 6,
    "grep": 9,
    "grep_dir": 6,
    "glob_ext": 5,
    "glob_name": 5,
    "mkdir": 4,
    "delete": 4,
    "fetch": 6,
    "shell_fact": 14,
}
INTENTS = tuple(WEIGHTS)
AFTER_COMMAND = (
    " please",
    " for me",
    " for me?",
    " now",
    "?",
    ", please",
    " please?",
    " thanks",
    " for me please",
    " pls",
)
OPPOSITES = {
    "True": "False",
    "False": "True",
    "true": "false",
    "false": "true",
    "yes": "no",
    "no": "yes",
    "0": "1",
    "1": "0",
}
_SIMPLE = re.compile(r"\w+")
_BARE = re.compile(r"[\w.-]+( ?(=|:|==) ?[\w./-]+)?")  # what people do not put into quotes


@dataclass
class Request:
    """What the user says, the call that answers it (None: no tool fits), and the slots."""

    intent: str
    text: str
    call: dict[str, Any] | None
    slots: dict[str, str] = field(default_factory=dict)
    shell: bool = False


def _plain_or_quoted(n: Names, value: str, plain: float, marks: str = "\"\"''`") -> str:
    if " " not in value and n.chance(plain):
        return value
    return quoted(n, value, marks) or value


def _content(n: Names, marks: str) -> str:
    """A text that can stand between one of the marks."""
    while True:
        text = line(n) if n.chance(0.94) else sentence(n) + "\n" + sentence(n)
        if quoted(n, text, marks) is not None and text == text.strip():
            return text


def _old_new(n: Names) -> tuple[str, str, bool]:
    """What to replace and by what, and whether both are single words."""
    x = n.rng.random()
    if x < 0.42:
        old, new = n.stem(), n.stem()
    elif x < 0.5:
        old, new = str(n.number(9999)), str(n.number(9999))
    elif x < 0.66:
        key, mark = n.key(), n.pick((" = ", "=", ": ", " == ", " "))
        value = (
            n.pick(("True", "False", "true", "false", "yes", "no", "0", "1")) if n.chance(0.35) else n.value()
        )
        old, new = key + mark + value, key + mark + (OPPOSITES.get(value) or n.value())
    elif x < 0.78:
        words = sentence(n).split(" ")
        at = n.rng.randrange(len(words))
        old, new = " ".join(words), " ".join([*words[:at], n.word(), *words[at + 1 :]])
    elif x < 0.92:
        old, new = sentence(n), sentence(n)
    else:
        old, new = code_line(n), code_line(n)
    if old == new or "\n" in old + new:
        return _old_new(n)
    return old, new, bool(re.fullmatch(r"[\w.-]+", old) and re.fullmatch(r"[\w.-]+", new))


def _pattern(n: Names) -> str:
    x = n.rng.random()
    if x < 0.45:
        return n.word()
    if x < 0.7:
        return n.key()
    if x < 0.85:
        return n.phrase(2, 3)
    return n.pick(
        (
            f"def {n.word()}",
            f"import {n.word()}",
            f"class {n.word().capitalize()}",
            "TODO",
            f"{n.word()}()",
            f"{n.word()} = {n.number()}",
            n.stem().replace(".", "_"),
        )
    )


def _draw(n: Names, intent: str) -> dict[str, str]:
    """The values of an intent's slots."""
    makers: dict[str, Callable[[], dict[str, str]]] = {
        "list_dir": lambda: {"dir": n.folder()},
        "mkdir": lambda: {"dir": n.folder()},
        "read": lambda: {"path": n.path()},
        "read_key": lambda: {
            "path": n.path(n.pick("json toml yaml ini cfg env txt py conf yml".split())),
            "key": n.key(),
        },
        "touch": lambda: {"path": n.path()},
        "delete": lambda: {"path": n.path()},
        "run": lambda: {"cmd": command(n)},
        "run_file": lambda: {"path": n.path(n.pick("py py py sh sh js rb pl php lua".split()))},
        "grep": lambda: {"pattern": _pattern(n)},
        "grep_dir": lambda: {"pattern": _pattern(n), "dir": n.folder()},
        "glob_ext": lambda: {"ext": n.pick(EXTENSIONS)},
        "glob_name": lambda: {"name": n.file(n.pick(EXTENSIONS))},
        "fetch": lambda: {"url": n.url()},
        "write_quoted": lambda: {"path": n.path(), "text": _content(n, "\"'`“")},
        "write_plain": lambda: {"path": n.path(), "text": block(n) if n.chance(0.22) else line(n)},
    }
    if intent == "edit":
        old, new, _ = _old_new(n)
        return {"path": n.path(), "old": old, "new": new}
    return makers[intent]() if intent in makers else {}


def _shown(n: Names, intent: str, template: str, slots: dict[str, str]) -> tuple[dict[str, str], bool]:
    """The slots as the user writes them, and whether the last one is open-ended."""
    shown = dict(slots)
    open_end = False
    for name, value in slots.items():
        around = template[max(0, template.find("{" + name + "}") - 1) :][:1]
        if around in MARK_CHARACTERS and around:
            continue
        if name in ("path", "dir", "name") or name == "key":
            shown[name] = _plain_or_quoted(n, value, 0.8)
        elif name == "pattern":
            shown[name] = _plain_or_quoted(n, value, 0.5 if _SIMPLE.fullmatch(value) else 0.0, '""\'`')
        elif name == "url":
            shown[name] = _plain_or_quoted(n, value, 0.92)
        elif name == "cmd":
            plain = 0.45 if template.endswith("{cmd}") else 0.2
            if n.chance(plain):
                open_end = template.endswith("{cmd}")
            else:
                shown[name] = quoted(n, value, "````\"'") or value
                open_end = shown[name] == value
        elif name == "text" and intent == "write_quoted":
            shown[name] = quoted(n, value, '""""\'\'\'`“') or value
    if intent == "write_plain":
        open_end = True
        if "\n" in slots["text"] and n.chance(0.3):
            shown["text"] = f"\n```\n{slots['text']}\n```"
        elif "\n" in slots["text"] and n.chance(0.7):
            shown["text"] = "\n" + slots["text"]
    if intent == "edit":
        simple = all(_BARE.fullmatch(slots[side]) for side in ("old", "new"))
        if not (simple and n.chance(0.5)):
            marks = [m for m in '""\'`' if m not in slots["old"] + slots["new"]]
            if marks:
                mark = n.pick(marks)
                shown["old"], shown["new"] = mark + slots["old"] + mark, mark + slots["new"] + mark
    return shown, open_end


MARK_CHARACTERS = "\"'`“*"


def _shell_quote(value: str) -> str:
    return "'" + value + "'"


def target(tools: ToolSet, intent: str, s: dict[str, str]) -> tuple[dict[str, Any] | None, bool]:
    """The canonical call, and whether it goes through the shell in place of a fitting tool."""
    if intent in ("list", "list_dir") and tools.has("list"):
        given = {"path": s["dir"]} if "dir" in s else {}
        return tools.call(
            "list",
            **(
                given
                or ({} if tools.bound["list"].roles["path"] in _optional(tools, "list") else {"path": "."})
            ),
        ), False
    if intent in ("read", "read_key") and tools.has("read"):
        return tools.call("read", path=s["path"]), False
    if intent in ("write_quoted", "write_plain", "touch") and tools.has("write"):
        return tools.call("write", path=s["path"], content=s.get("text", "")), False
    if intent == "edit" and tools.has("edit"):
        return tools.call("edit", path=s["path"], old=s["old"], new=s["new"]), False
    if intent == "grep" and tools.has("grep"):
        needs = tools.takes("grep", "path") and tools.bound["grep"].roles["path"] not in _optional(
            tools, "grep"
        )
        return tools.call("grep", pattern=s["pattern"], **({"path": "."} if needs else {})), False
    if intent == "grep_dir" and tools.takes("grep", "path"):
        return tools.call("grep", pattern=s["pattern"], path=s["dir"]), False
    if intent in ("glob_ext", "glob_name") and tools.has("glob"):
        return tools.call("glob", pattern=f"**/*.{s['ext']}" if "ext" in s else f"**/{s['name']}"), False
    if intent == "fetch" and tools.has("fetch"):
        return tools.call("fetch", url=s["url"]), False
    if not tools.has("run"):
        return None, False
    return tools.call("run", command=shell_command(intent, s)), True


def _optional(tools: ToolSet, capability: str) -> set[str]:
    name = tools.bound[capability].name
    schema = next(t["function"]["parameters"] for t in tools.tools if t["function"]["name"] == name)
    return set(schema["properties"]) - set(schema["required"])


def shell_command(intent: str, s: dict[str, str]) -> str:
    """The shell command for a request; a name stands as given, in single quotes only if it holds a blank."""
    path = s.get("path", s.get("dir", s.get("name", "")))
    path = _shell_quote(path) if " " in path else path
    if intent == "run_file":
        return f"{RUNNERS[s['path'].rsplit('.', 1)[1]]} {path}"
    if intent in ("write_quoted", "write_plain"):
        return f"echo {_shell_quote(s['text'])} > {path}"
    if intent == "edit":
        return f"sed -i 's/{s['old']}/{s['new']}/g' {path}"
    if intent in ("grep", "grep_dir"):
        return f"grep -rn {_shell_quote(s['pattern'])} {s.get('dir', '.')}"
    simple = {
        "list": "ls",
        "list_dir": f"ls {path}",
        "read": f"cat {path}",
        "read_key": f"cat {path}",
        "touch": f"touch {path}",
        "mkdir": f"mkdir -p {path}",
        "delete": f"rm {path}",
    }
    if intent in simple:
        return simple[intent]
    if intent in ("glob_ext", "glob_name"):
        return f"find . -name '*.{s['ext']}'" if "ext" in s else f"find . -name '{s['name']}'"
    return f"curl -s {s['url']}" if intent == "fetch" else s["cmd"]


def _sayable(tools: ToolSet, intent: str, s: dict[str, str]) -> bool:
    """False if the request cannot be put into the shell command that the tool set leaves for it."""
    if intent in ("write_quoted", "write_plain") and not tools.has("write"):
        return "'" not in s["text"] and "\n" not in s["text"]
    if intent == "edit" and all(mark in s["old"] + s["new"] for mark in "\"'`"):
        return False
    if intent == "edit" and not tools.has("edit"):
        return all(_SIMPLE.fullmatch(s[k]) for k in ("old", "new"))
    return True


def make(n: Names, tools: ToolSet, intent: str, *, held_out: bool = False, noise: bool = True) -> Request:
    """A request of an intent; `held_out` takes the phrasings that are never trained on."""
    template = draw(intent, n.rng, held_out, n.stage.paraphrased if noise else 0.0)
    if intent == "shell_fact":
        while pair(template)[1] not in known_commands():
            template = draw(intent, n.rng, held_out, n.stage.paraphrased if noise else 0.0)
        text, cmd = pair(template)
        slots = {"cmd": cmd}
        shown: dict[str, str] = {}
        open_end = False
    else:
        text = template
        slots = _draw(n, intent)
        while not _sayable(tools, intent, slots):
            slots = _draw(n, intent)
        shown, open_end = _shown(n, intent, text, slots)
    if intent == "write_plain" and text.endswith("\n{text}") and shown["text"].startswith("\n"):
        shown["text"] = shown["text"][1:]
    words = ask(n, text, shown, noise=noise, open_end=open_end)
    words = re.sub(r"[ \t]+\n", "\n", words)
    if intent == "run" and open_end and noise and n.chance(0.15):
        words += n.pick(AFTER_COMMAND)
    call, shell = target(tools, intent, slots)
    return Request(intent, words, call, slots, shell)


def draw_intent(n: Names) -> str:
    """An intent by weight."""
    return n.rng.choices(INTENTS, weights=tuple(WEIGHTS.values()))[0]

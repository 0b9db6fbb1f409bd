"""Lists of tools: OpenCode's, the swarm's own tool server's, known synonyms, made-up names, and the held-
out ones.

A tool set binds capabilities (read, run, …) to a tool and to its parameters, so that a request can be
turned into the one right call. Made-up names force the model to copy names from the signature; the held-out
names are never made up.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from deploy.built_in_model.generator.names import Names
from deploy.built_in_model.generator.tool_names import invented_name, old_and_new, parameter, tool_name

FOLDER = Path(__file__).parent.parent / "toolsets"
CAPABILITIES = ("run", "read", "write", "edit", "list", "glob", "grep", "fetch")
SAY_WHY = ("description", "description", "explanation", "reason", "purpose")

# What in the parameters tells a tool's work when its name does not.
TELLING = {
    "run": ("command", "cmd", "shell", "bash", "script", "terminal"),
    "read": ("file", "doc"),
    "write": ("content", "text", "body", "data", "value", "lines"),
    "edit": ("old", "new", "replac", "from", "before", "search", "orig", "find"),
    "list": ("dir", "folder"),
    "glob": ("glob", "mask", "filename", "file_name"),
    "grep": ("regex", "term", "keyword", "phrase", "word", "search_text"),
    "fetch": ("url", "uri", "href", "web", "site", "page"),
}
OTHERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("skill", ("name",)),
    ("task", ("description", "prompt", "subagent_type")),
    ("todowrite", ("todos",)),
    ("question", ("questions",)),
    ("send_message", ("to", "text")),
    ("get_time", ("timezone",)),
    ("remember", ("key", "value")),
    ("translate", ("text", "language")),
    ("get_weather", ("city",)),
    ("todoread", ()),
    ("screenshot", ()),
    ("calculator", ("expression",)),
)


@dataclass
class Bound:
    """A capability's tool: its name, role -> parameter, and the parameters in the order of the schema."""

    name: str
    roles: dict[str, str]
    order: list[str]
    reason: str | None = None


@dataclass
class ToolSet:
    """The tools of one conversation in OpenAI's form, and what they are good for."""

    kind: str
    tools: list[dict[str, Any]] = field(default_factory=list)
    bound: dict[str, Bound] = field(default_factory=dict)

    def add(
        self,
        name: str,
        required: tuple[str, ...] | list[str],
        optional: tuple[str, ...] | list[str] = (),
        numbers: tuple[str, ...] = (),
    ) -> None:
        """Append a tool."""
        properties = {
            key: {"type": "number" if key in numbers else "string"} for key in [*required, *optional]
        }
        schema = {"type": "object", "properties": properties, "required": list(required)}
        self.tools.append({"type": "function", "function": {"name": name, "parameters": schema}})

    def bind(
        self,
        capability: str,
        name: str,
        roles: dict[str, str],
        optional: tuple[str, ...] = (),
        reason: str | None = None,
    ) -> None:
        """Append the tool of a capability; the roles stand in the order of the schema."""
        required = [parameter for role, parameter in roles.items() if role not in optional]
        extra = [roles[role] for role in optional if role in roles]
        if reason:
            required.append(reason)
        self.add(name, required, extra)
        self.bound[capability] = Bound(name, roles, required + extra, reason)

    def has(self, *capabilities: str) -> bool:
        """True if there is a tool for each of them."""
        return all(capability in self.bound for capability in capabilities)

    def takes(self, capability: str, role: str) -> bool:
        """True if the capability's tool has a parameter for the role."""
        return capability in self.bound and role in self.bound[capability].roles

    def call(self, capability: str, **values: str) -> dict[str, Any]:
        """The call {"name", "arguments"} with the arguments in the order of the schema."""
        bound = self.bound[capability]
        by_parameter = {bound.roles[role]: value for role, value in values.items()}
        if bound.reason:
            by_parameter[bound.reason] = (
                "Run " + values["command"].split()[0] if "command" in values else "As asked"
            )
        return {
            "name": bound.name,
            "arguments": {key: by_parameter[key] for key in bound.order if key in by_parameter},
        }

    def ignored(self) -> list[str]:
        """The names of arguments that do not act."""
        return sorted({bound.reason for bound in self.bound.values() if bound.reason})


@cache
def table(which: str) -> dict[str, dict[str, list[Any]]]:
    """The names and parameters in toolsets/`which`.json."""
    loaded: dict[str, dict[str, list[Any]]] = json.loads(
        (FOLDER / f"{which}.json").read_text(encoding="utf-8")
    )
    return loaded


@cache
def banned() -> frozenset[str]:
    """Every held-out name of a tool or of a parameter, where the known ones do not use it too."""

    def names(which: str) -> set[str]:
        out: set[str] = set()
        for entry in table(which).values():
            for values in entry.values():
                for value in values:
                    out.update([value] if isinstance(value, str) else value)
        return out

    return frozenset(names("held_out") - names("known"))


def _free(n: Names, taken: set[str], make: Any) -> str:
    """A made-up name that is neither held out nor taken."""
    while True:
        name: str = make()
        if name not in banned() and name not in taken:
            taken.add(name)
            return name


def _roles(n: Names, capability: str, style: str, path: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """role -> parameter in schema order, and the optional roles; `path` is the set's name for a path."""
    source = table("held_out" if style == "held_out" else "known")[capability]
    made_up = style == "made_up" and n.chance(0.7)

    def take(role: str, kind: str, taken: set[str]) -> str:
        if made_up:
            return _free(n, taken, lambda: parameter(n, kind))
        return _unused(n, source[role], taken)

    taken: set[str] = set()
    if capability == "run":
        return {"command": take("command", "command", taken)}, ()
    if capability == "fetch":
        return {"url": take("url", "url", taken)}, ()
    if capability == "list":
        return {"path": take("path", "dir", taken)}, ("path",) if n.chance(0.35 if made_up else 0.15) else ()
    if capability == "glob":
        return {"pattern": take("pattern", "wild", taken)}, ()
    if capability == "grep":
        roles = {"pattern": take("pattern", "pattern", taken)}
        if n.chance(0.6):
            roles["path"] = take("path", "dir", taken)
            return roles, ("path",) if n.chance(0.75) else ()
        return roles, ()
    own = path if path in source["path"] or made_up else n.pick(source["path"])
    taken.add(own)
    if capability == "read":
        return {"path": own}, ()
    if capability == "write":
        pairs = [("path", own), ("content", take("content", "content", taken))]
        return dict(pairs[::-1] if n.chance(0.35) else pairs), ()
    old, new = old_and_new(n) if made_up else source["old_new"][int(n.rng.random() * len(source["old_new"]))]
    if own in (old, new) or (style != "held_out" and banned().intersection((old, new))):
        return _roles(n, capability, style, path)
    edit = [("path", own), ("old", old), ("new", new)]
    return dict(edit[1:] + edit[:1] if n.chance(0.15) else edit), ()


def _unused(n: Names, options: list[str], taken: set[str]) -> str:
    name = n.pick([option for option in options if option not in taken])
    taken.add(name)
    return name


def opencode(n: Names) -> ToolSet:
    """OpenCode's tools; one time in four an older or a shuffled variant of them."""
    s = ToolSet("opencode")
    variant = n.chance(0.25)
    reason = "description" if variant and n.chance(0.6) else None
    s.bind("run", "bash", {"command": "command"}, reason=reason)
    s.tools[-1]["function"]["parameters"]["properties"].update(
        {"timeout": {"type": "number"}, "workdir": {"type": "string"}}
    )
    s.bind("edit", "edit", {"path": "filePath", "old": "oldString", "new": "newString"})
    s.tools[-1]["function"]["parameters"]["properties"]["replaceAll"] = {"type": "boolean"}
    s.bind("glob", "glob", {"pattern": "pattern", "path": "path"}, optional=("path",))
    s.bind(
        "grep",
        "grep",
        {"pattern": "pattern", "path": "path", "include": "include"},
        optional=("path", "include"),
    )
    if variant and n.chance(0.4):
        s.bind("list", "list", {"path": "path"}, optional=("path",) if n.chance(0.5) else ())
    s.bind("read", "read", {"path": "filePath"})
    s.tools[-1]["function"]["parameters"]["properties"].update(
        {"offset": {"type": "number"}, "limit": {"type": "number"}}
    )
    s.add("skill", ("name",))
    s.add("task", ("description", "prompt", "subagent_type"), ("task_id", "command"))
    s.add("todowrite", ("todos",))
    s.bind("fetch", "webfetch", {"url": "url"})
    s.tools[-1]["function"]["parameters"]["properties"].update(
        {"format": {"type": "string"}, "timeout": {"type": "number"}}
    )
    content_first = not (variant and n.chance(0.5))
    s.bind(
        "write",
        "write",
        {"content": "content", "path": "filePath"}
        if content_first
        else {"path": "filePath", "content": "content"},
    )
    if variant:
        if n.chance(0.3):
            s.add(*OTHERS[3])
        if n.chance(0.3):
            n.rng.shuffle(s.tools)
    return s


def swarm(n: Names) -> ToolSet:
    """The tool server of Local Swarm: read, write, bash."""
    s = ToolSet("swarm")
    s.bind("read", "read", {"path": "path"})
    s.bind("write", "write", {"path": "path", "content": "content"})
    s.bind("run", "bash", {"command": "command"})
    if n.chance(0.3):
        n.rng.shuffle(s.tools)
    return s


def mixed(n: Names, style: str, size: tuple[int, int] = (3, 8)) -> ToolSet:
    """A random choice of capabilities under names of a style: known, made_up or held_out."""
    s = ToolSet(style)
    chosen = list(CAPABILITIES)
    n.rng.shuffle(chosen)
    names: set[str] = {name for name, _ in OTHERS}
    path = (
        _free(n, set(), lambda: parameter(n, "path"))
        if style == "made_up"
        else n.pick(table("held_out" if style == "held_out" else "known")["read"]["path"])
    )
    for capability in chosen[: n.rng.randint(*size)]:
        roles, optional = _roles(n, capability, style, path)
        options = table("held_out" if style == "held_out" else "known")[capability]["names"]
        if style == "held_out":
            name = _unused(n, options, names)
        elif style == "made_up" and n.chance(0.95):
            shown = " ".join(roles.values()).lower()
            telling = any(hint in shown for hint in TELLING[capability])
            if telling and n.chance(0.28):
                name = _free(n, names, lambda: invented_name(n))
            else:
                name = _free(n, names, lambda c=capability: tool_name(n, c))
                if len(roles) == 1 and n.chance(0.1):
                    roles = {role: _free(n, set(), n.word) for role in roles}
        else:
            name = _unused(n, options, names)
        reason = n.pick(SAY_WHY) if capability == "run" and n.chance(0.2) else None
        s.bind(capability, name, roles, optional, reason if reason not in roles.values() else None)
    for name, parameters in OTHERS:
        if n.chance(0.1):
            s.add(name, parameters)
    n.rng.shuffle(s.tools)
    return s

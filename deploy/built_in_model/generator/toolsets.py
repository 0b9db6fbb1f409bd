"""Lists of tools: OpenCode's, the swarm's own tool server's, known synonyms, made-up names, and the held-out ones.

A tool set binds capabilities (read, run, …) to a tool and to its parameters, so that a request can be turned into the one
right call. Made-up names force the model to copy names from the signature; the held-out names are never made up.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from deploy.built_in_model.generator.names import Names

FOLDER = Path(__file__).parent.parent / "toolsets"
CAPABILITIES = ("run", "read", "write", "edit", "list", "glob", "grep", "fetch")
SAY_WHY = ("description", "description", "explanation", "reason", "purpose")

VERBS = {
    "run": "run exec execute launch do start call perform spawn eval process trigger fire",
    "read": "read open view load show get cat print peek display inspect examine retrieve look output dump see",
    "write": "write save create put make store add new set generate emit record produce compose",
    "edit": "edit replace modify patch change update alter fix substitute revise amend tweak rewrite",
    "list": "list ls show dir browse tree get see index walk",
    "glob": "find glob match locate lookup discover search",
    "grep": "grep search find lookup query seek hunt rg",
    "fetch": "fetch get download browse request load visit curl open retrieve read http crawl",
}
NOUNS = {
    "run": "command cmd shell terminal script process line bash console cli program job",
    "read": "file text document doc source content page_text note file_content blob",
    "write": "file text document doc content note source output_file blob",
    "edit": "file text string content document doc line in_file source code",
    "list": "dir directory folder entries files folder_content dirs path",
    "glob": "files file paths names by_name file_names by_pattern filename",
    "grep": "text content code lines in_files regex string contents word pattern",
    "fetch": "url page web http link site website webpage uri web_page",
}
PARAMETERS = {
    "command": "command cmd line shell input script_text command_line shell_cmd cmd_text to_run bash program_line instruction".split(),
    "path": "path file name filename target location source file_name absolute_path doc document where file_to_use fname fpath pathname".split(),
    "content": "content text body data value string new_content body_text full_text what contents file_content txt".split(),
    "pattern": "pattern query regex q expr term match wanted expression keyword search_for phrase word".split(),
    "wild": "pattern glob expr match wanted mask name_glob file_pattern globbing filter names".split(),
    "dir": "path dir folder directory location where root directory_path dir_name folder_name".split(),
    "url": "url address uri page site href target_url webpage location page_url".split(),
}
TELLING = {"read": ("file", "doc"), "list": ("dir", "folder"), "glob": ("glob", "mask"), "grep": ("regex", "query", "term", "keyword")}
EDIT_WORDS = (("old", "new"), ("from", "to"), ("before", "after"), ("search", "replacement"), ("original", "updated"), ("find", "replace"))
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

    def add(self, name: str, required: tuple[str, ...] | list[str], optional: tuple[str, ...] | list[str] = (), numbers: tuple[str, ...] = ()) -> None:
        """Append a tool."""
        properties = {key: {"type": "number" if key in numbers else "string"} for key in [*required, *optional]}
        schema = {"type": "object", "properties": properties, "required": list(required)}
        self.tools.append({"type": "function", "function": {"name": name, "parameters": schema}})

    def bind(self, capability: str, name: str, roles: dict[str, str], optional: tuple[str, ...] = (), reason: str | None = None) -> None:
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
            by_parameter[bound.reason] = "Run " + values["command"].split()[0] if "command" in values else "As asked"
        return {"name": bound.name, "arguments": {key: by_parameter[key] for key in bound.order if key in by_parameter}}

    def ignored(self) -> list[str]:
        """The names of arguments that do not act."""
        return sorted({bound.reason for bound in self.bound.values() if bound.reason})


@cache
def table(which: str) -> dict[str, dict[str, list[Any]]]:
    """The names and parameters in toolsets/`which`.json."""
    loaded: dict[str, dict[str, list[Any]]] = json.loads((FOLDER / f"{which}.json").read_text(encoding="utf-8"))
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


def _made_up_tool(n: Names, capability: str) -> str:
    verb, noun = n.pick(VERBS[capability].split()), n.pick(NOUNS[capability].split())
    x = n.rng.random()
    if x < 0.42:
        name = f"{verb}_{noun}"
    elif x < 0.52:
        name = f"{noun}_{verb}"
    elif x < 0.64:
        name = verb + "".join(part.capitalize() for part in noun.split("_"))
    elif x < 0.74:
        name = verb.capitalize() + "".join(part.capitalize() for part in noun.split("_"))
    elif x < 0.8:
        name = f"{verb}-{noun}"
    elif x < 0.86:
        name = verb
    else:
        name = verb + noun
    y = n.rng.random()
    if y < 0.16:
        name = f"{n.pick(('my', 'fs', 'tool', 'mcp', 'ws', 'swarm', n.syllables(), n.word()))}_{name}"
    elif y < 0.24:
        name = f"{name}_{n.pick(('v2', 'tool', 'x', n.syllables(), n.word()))}"
    return name


def _made_up_parameter(n: Names, kind: str) -> str:
    name = n.pick(PARAMETERS[kind])
    x = n.rng.random()
    if x < 0.1:
        name = f"{n.pick(('the', 'input', 'my', n.word(), n.syllables()))}_{name}"
    elif x < 0.16:
        name = f"{name}_{n.pick(('arg', 'value', 'in', n.word()))}"
    elif x < 0.22:
        name = "".join(part.capitalize() if i else part for i, part in enumerate(name.split("_")))
    elif x < 0.26:
        name = name.capitalize()
    return name


def _roles(n: Names, capability: str, style: str, path: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """role -> parameter in schema order, and the optional roles; `path` is the set's usual name for a path."""
    source = table("held_out" if style == "held_out" else "known")[capability]
    made_up = style == "made_up" and n.chance(0.7)

    def take(role: str, kind: str, taken: set[str]) -> str:
        if made_up:
            return _free(n, taken, lambda: _made_up_parameter(n, kind))
        return _unused(n, source[role], taken)

    taken: set[str] = set()
    if capability == "run":
        return {"command": take("command", "command", taken)}, ()
    if capability == "fetch":
        return {"url": take("url", "url", taken)}, ()
    if capability == "list":
        return {"path": take("path", "dir", taken)}, ("path",) if n.chance(0.15) else ()
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
    if made_up:
        word, (old, new) = n.pick(("text", "value", "str", "line", "content", "string", "")), EDIT_WORDS[n.rng.randrange(len(EDIT_WORDS))]
        old_new = (f"{old}_{word}".rstrip("_"), f"{new}_{word}".rstrip("_"))
    else:
        old_new = tuple(source["old_new"][int(n.rng.random() * len(source["old_new"]))])  # type: ignore[assignment]
    if own in old_new or (style != "held_out" and banned().intersection(old_new)):
        return _roles(n, capability, style, path)
    edit = [("path", own), ("old", old_new[0]), ("new", old_new[1])]
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
    s.tools[-1]["function"]["parameters"]["properties"].update({"timeout": {"type": "number"}, "workdir": {"type": "string"}})
    s.bind("edit", "edit", {"path": "filePath", "old": "oldString", "new": "newString"})
    s.tools[-1]["function"]["parameters"]["properties"]["replaceAll"] = {"type": "boolean"}
    s.bind("glob", "glob", {"pattern": "pattern", "path": "path"}, optional=("path",))
    s.bind("grep", "grep", {"pattern": "pattern", "path": "path", "include": "include"}, optional=("path", "include"))
    if variant and n.chance(0.4):
        s.bind("list", "list", {"path": "path"}, optional=("path",) if n.chance(0.5) else ())
    s.bind("read", "read", {"path": "filePath"})
    s.tools[-1]["function"]["parameters"]["properties"].update({"offset": {"type": "number"}, "limit": {"type": "number"}})
    s.add("skill", ("name",))
    s.add("task", ("description", "prompt", "subagent_type"), ("task_id", "command"))
    s.add("todowrite", ("todos",))
    s.bind("fetch", "webfetch", {"url": "url"})
    s.tools[-1]["function"]["parameters"]["properties"].update({"format": {"type": "string"}, "timeout": {"type": "number"}})
    content_first = not (variant and n.chance(0.5))
    s.bind("write", "write", {"content": "content", "path": "filePath"} if content_first else {"path": "filePath", "content": "content"})
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
    path = _made_up_path(n) if style == "made_up" else n.pick(table("held_out" if style == "held_out" else "known")["read"]["path"])
    for capability in chosen[: n.rng.randint(*size)]:
        roles, optional = _roles(n, capability, style, path)
        options = table("held_out" if style == "held_out" else "known")[capability]["names"]
        if style == "held_out":
            name = _unused(n, options, names)
        elif style == "made_up" and n.chance(0.85):
            telling = capability not in TELLING or any(hint in roles.get("path", roles.get("pattern", "")) for hint in TELLING[capability])
            invented = telling and roles.keys() != {"command"} and n.chance(0.12)
            name = _free(n, names, n.syllables if invented else lambda c=capability: _made_up_tool(n, c))
        else:
            name = _unused(n, options, names)
        reason = n.pick(SAY_WHY) if capability == "run" and n.chance(0.2) else None
        s.bind(capability, name, roles, optional, reason if reason not in roles.values() else None)
    for name, parameters in OTHERS:
        if n.chance(0.1):
            s.add(name, parameters)
    n.rng.shuffle(s.tools)
    return s


def _made_up_path(n: Names) -> str:
    taken: set[str] = set()
    return _free(n, taken, lambda: _made_up_parameter(n, "path"))

"""Made-up names of tools and parameters: verbs, nouns and adjectives put together in every usual spelling.

A name says what a tool does, so that the model learns to read names, and is put together anew each time, so
that it has to copy them from the signature.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from deploy.built_in_model.generator.names import Names

VERBS = {
    "run": "run exec execute launch do start call perform spawn eval process trigger fire issue send submit",
    "read": (
        "read open view load show get cat print peek display inspect examine retrieve look output dump "
        "see access"
    ),
    "write": "write save create put make store add new set generate emit record produce compose export build",
    "edit": (
        "edit replace modify patch change update alter fix substitute revise correct tweak rewrite adjust "
        "transform"
    ),
    "list": "list ls show dir browse tree get see index walk explore",
    "glob": "find glob match locate lookup discover search query",
    "grep": "grep search find lookup query seek rg look match filter",
    "fetch": "fetch get download browse request load visit curl open retrieve read http crawl access",
}
AGENTS = {
    "run": "runner executor launcher starter shell terminal console prompt bash interpreter",
    "read": "reader viewer opener loader inspector printer",
    "write": "writer creator maker builder generator",
    "edit": "editor replacer changer modifier updater patcher fixer",
    "list": "lister browser explorer viewer",
    "glob": "finder matcher search lookup",
    "grep": "searcher grepper finder search scanner",
    "fetch": "fetcher downloader loader browser client getter",
}
NOUNS = {
    "run": "command cmd shell terminal script process line bash console cli program job task commands code",
    "read": "file text document doc source content page_text note file_content blob text_file file_text",
    "write": "file text document doc content note source output_file blob text_file new_file to_file",
    "edit": "file text string content document doc line in_file source code in_text",
    "list": (
        "dir directory folder entries files folder_content dirs all_files directory_content file_list folders"
    ),
    "glob": "files file paths names by_name file_names by_pattern filename by_glob matching_files",
    "grep": "text content code lines in_files regex string words word pattern file_text matches source_code",
    "fetch": "url page web http link site website webpage uri web_page from_web internet content_of_url",
}
_ADJECTIVES = {
    "path": (
        "target source input local full relative absolute given wanted file doc",
        "path file filename name document file_name location doc",
    ),
    "content": (
        "new full file raw text body complete input written",
        "content text data body string value lines contents",
    ),
    "command": (
        "shell bash terminal system full whole user cmd",
        "command line cmd string input text code script",
    ),
    "pattern": (
        "search text regex lookup find query match grep wanted",
        "pattern term text string query word expression regex key phrase",
    ),
    "wild": ("file name path glob filename match wildcard", "pattern mask filter expression glob query spec"),
    "dir": (
        "target root base search start parent work list given",
        "dir folder directory path location root",
    ),
    "url": ("page web site target request full http remote link", "url address uri link location page"),
}
PARAMETERS = {
    "path": (
        "path file name filename target location source file_name doc document where fname fpath pathname "
        "file_id"
    ),
    "content": "content text body data value string contents what input lines",
    "command": "command cmd line shell input script code instruction bash to_run",
    "pattern": "pattern query regex q expr term match wanted expression keyword search_for phrase word text",
    "wild": "pattern glob expr match wanted mask filter names expression query",
    "dir": "path dir folder directory location where root dirname cwd base",
    "url": "url address uri page site href location webpage http",
}
EDIT_WORDS = (
    "old new|from to|before after|search replacement|original updated|find replace|existing "
    "replacement|previous next|"
    "old updated|wrong right|original replacement|search replace|old replacement|target substitute|"
    "was now|source result"
).split("|")
EDIT_NOUNS = (
    "text",
    "value",
    "str",
    "line",
    "content",
    "string",
    "",
    "",
    "part",
    "code",
    "word",
    "snippet",
    "block",
)


THESAURUS = Path(__file__).parent.parent / "toolsets" / "thesaurus.json"
_PREPOSITION = re.compile(r"^(in|by|to|on|at|from|into|for|inside|within|a|the|off)_")


@cache
def _thesaurus() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(THESAURUS.read_text(encoding="utf-8"))
    return loaded


def _word_for(n: Names, capability: str, kind: str) -> str:
    """A verb, an agent or a noun: the usual ones in four of ten cases, else any that the language has."""
    usual = {"verbs": VERBS, "agents": AGENTS, "nouns": NOUNS}[kind][capability]
    return n.pick(usual.split()) if n.chance(0.4) else n.pick(_thesaurus()[capability][kind])


def spelled(n: Names, words: list[str]) -> str:
    """The words in one of the usual spellings: snake, camel, Pascal, kebab, joined, capital."""
    parts = [part for word in words for part in word.split("_")]
    x = n.rng.random()
    if x < 0.48:
        return "_".join(parts)
    if x < 0.62:
        return parts[0] + "".join(part.capitalize() for part in parts[1:])
    if x < 0.78:
        return "".join(part.capitalize() for part in parts)
    if x < 0.86:
        return "-".join(parts)
    if x < 0.94:
        return "".join(parts)
    return "_".join(part.capitalize() for part in parts) if x < 0.98 else "_".join(parts).upper()


def tool_name(n: Names, capability: str) -> str:
    """A telling name for a tool."""
    verb, noun = _word_for(n, capability, "verbs"), _word_for(n, capability, "nouns")
    bare = _PREPOSITION.sub("", noun)
    x = n.rng.random()
    if x < 0.48:
        words = [verb, noun]
    elif x < 0.57:
        words = [bare, verb]
    elif x < 0.63:
        words = [verb, n.pick(("the", "a", "my", "one", "this", "some", "any")), bare]
    elif x < 0.67:
        words = [
            {"glob": "glob", "grep": n.pick(("grep", "rg"))}.get(capability)
            or n.pick(VERBS[capability].split())
        ]
    elif x < 0.87:
        words = [bare, _word_for(n, capability, "agents")]
    elif x < 0.9 and capability not in ("list", "glob", "grep"):
        words = [n.pick(AGENTS[capability].split())]
    elif x < 0.94:
        words = [n.word(), bare]
    elif x < 0.97:
        words = [verb, _word_for(n, capability, "nouns"), noun]
    else:
        words = [verb, noun, n.pick(("now", "tool", "x", "v2", "call", "action", "op", n.word()))]
    if n.chance(0.2):
        words.insert(n.rng.randint(0, len(words)), n.word())
    elif n.chance(0.12):
        words.insert(0, n.pick(("my", "fs", "tool", "mcp", "ws", "swarm", "local", n.syllables(), n.word())))
    elif n.chance(0.08):
        words.append(n.pick(("tool", "cmd", n.syllables(), n.word())))
    return spelled(n, words)


def invented_name(n: Names) -> str:
    """A name that tells nothing."""
    return spelled(n, [n.word() for _ in range(n.pick_int((1, 1, 2, 2, 3)))])


def parameter(n: Names, kind: str) -> str:
    """A telling name for a parameter of a kind."""
    x = n.rng.random()
    wide = _thesaurus()["parameters"][kind]
    if x < 0.3:
        words = [n.pick(PARAMETERS[kind].split()) if n.chance(0.5) else n.pick(wide["nouns"])]
        if n.chance(0.25):
            words.insert(0, n.pick(("the", "input", "my", "arg", n.word(), n.word(), n.word())))
        elif n.chance(0.15):
            words.append(n.pick(("arg", "value", "in", n.word(), n.word())))
    elif x < 0.5:
        adjectives, nouns = _ADJECTIVES[kind]
        words = [n.pick(adjectives.split()), n.pick(nouns.split())]
    elif x < 0.8:
        words = [n.pick(wide["adjectives"]), n.pick(wide["nouns"])]
    else:
        words = [n.pick(wide["phrases"])]
    return spelled(n, words).replace("-", "_") if len(words) > 1 or n.chance(0.1) else words[0]


def old_and_new(n: Names) -> tuple[str, str]:
    """The names of the parameters for the text to be replaced and for its replacement, in one spelling."""
    if n.chance(0.4):
        old, new = EDIT_WORDS[n.rng.randrange(len(EDIT_WORDS))].split()
    else:
        pairs = _thesaurus()["edit_pairs"]
        old, new = pairs[n.rng.randrange(len(pairs))]
    noun = "" if "_" in old else n.pick(EDIT_NOUNS)
    state = n.rng.getstate()
    first = spelled(n, [old, noun] if noun else [old])
    n.rng.setstate(state)
    second = spelled(n, [new, noun] if noun else [new])
    return first.replace("-", "_"), second.replace("-", "_")

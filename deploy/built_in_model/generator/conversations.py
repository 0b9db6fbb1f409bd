"""Whole conversations: exchanges under one list of tools, chains of steps, small talk, titles and refusals."""

from __future__ import annotations

import itertools
import json
import random
from dataclasses import dataclass, field
from typing import Any, Literal

from deploy.built_in_model.generator import requests, results
from deploy.built_in_model.generator.asking import ask
from deploy.built_in_model.generator.names import RUNNERS, Names
from deploy.built_in_model.generator.phrasings import draw, pair
from deploy.built_in_model.generator.requests import Request
from deploy.built_in_model.generator.texts import sentence
from deploy.built_in_model.generator.toolsets import ToolSet, banned, mixed, opencode, swarm

Split = Literal["train", "known", "phrasings", "tools"]

NO_TOOL = "I have no tool for that."
NO_TOOLS = "I have no tools here, so I cannot do that."
UNKNOWN = "I am only the built-in demonstration model of Local Swarm and do not know that. I can work with files and commands."
TITLE_SYSTEM = "You are a title generator. You output ONLY a thread title. Nothing else."
SYSTEMS = (
    ["You are opencode, an interactive CLI tool that helps users with software engineering tasks."] * 8
    + ["You are OpenCode, the best coding agent on the planet."] * 3
    + ["You are a helpful assistant."] * 4
    + ["", "", "", "You are Local Swarm, a local assistant.", "You are a coding agent.", "You are an agent with tools. Use them."]
    + ["You are an expert programmer working in a repository.", "# Instructions\nUse the tools.", "Be brief.", "Answer in English."]
)
OPEN_QUESTIONS = (
    "what is the capital of {w}|write a poem about {w}|explain {w} to me|why is the {w} {v}|tell me a joke about {w}|how does {w} work|"
    "what do you think about {w}|who invented the {w}|what is {w}|give me advice on {w}|translate {w} into French|what is the meaning of {w}|"
    "summarize the history of {w}|which is better, {w} or {v}|tell me a story about {w}|should I learn {w}|how do I cook {w}|compare {w} and {v}|"
    "what does {w} mean|is {w} healthy|who won the {w} championship|write an essay about {w} and {v}|what is the population of {w}|do you like {w}|"
    "can you teach me {w}|recommend a book about {w}|how old is the {w}|how many {w} are there in the world|what is the best {w}"
).split("|")
CUSTOM_VERBS = "get find create update show send start stop open close check lookup add remove set play schedule cancel book order track".split()
CUSTOM_NOUNS = "weather stock user order ticket invoice product customer event flight song movie recipe player room device sensor lamp contact timer alarm account city issue photo channel meeting price".split()
CUSTOM_KEYS = "name id city title date email amount color user status message room number language topic level owner symbol quantity".split()
BEFORE_INTENTS = ("read", "write_quoted", "run", "grep", "delete", "read_key", "fetch", "list_dir")
IT = {
    "read": "now show it to me|read it|now read it|show me the file|what is in it now?|show it|and what does it say?|open it|let me see it|print it|display the file|read it back to me|check what it contains",
    "delete": "delete it|remove it again|now delete it|delete the file|I do not need it any more, delete it|erase it|get rid of it|throw it away",
    "run_file": "run it|now run it|execute it|run the script|execute the file|start it|run it now please|let it run|and run it|launch it",
}


@dataclass
class Conversation:
    """Messages and tools in OpenAI's form; `intents` names the exchanges, `quotes` what the last answer must hold."""

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]]
    intent: str
    quotes: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)


def call_message(call: dict[str, Any], number: int = 1) -> dict[str, Any]:
    """An assistant's turn that makes one call; the arguments are compact JSON."""
    arguments = json.dumps(call["arguments"], ensure_ascii=False, separators=(",", ":"))
    function = {"name": call["name"], "arguments": arguments}
    return {"role": "assistant", "content": "", "tool_calls": [{"id": f"call_{number}", "type": "function", "function": function}]}


def tool_message(result: str, number: int = 1) -> dict[str, Any]:
    """A tool's result."""
    return {"role": "tool", "tool_call_id": f"call_{number}", "content": result}


def _say(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def _user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def draw_tools(n: Names, split: Split) -> ToolSet:
    """The tools of a conversation of that split."""
    if split == "tools":
        return mixed(n, "held_out", (4, 8))
    x = n.rng.random()
    if x < 0.4:
        return opencode(n)
    if x < 0.5:
        return swarm(n)
    if split in ("known", "phrasings"):
        return mixed(n, "known", (4, 8)) if x < 0.8 else opencode(n)
    return mixed(n, "known") if x < 0.6 else mixed(n, "made_up", (2, 8))


def fitting_intent(n: Names, tools: ToolSet, must_call: bool) -> str:
    """An intent that is unambiguous under the tools; with `must_call` one for which there is a tool."""
    while True:
        intent = requests.draw_intent(n)
        if intent == "grep_dir" and tools.has("grep") and not tools.takes("grep", "path"):
            continue
        if must_call and not tools.has("run"):
            needs = {"list_dir": "list", "read_key": "read", "write_quoted": "write", "write_plain": "write", "touch": "write", "grep_dir": "grep", "glob_ext": "glob", "glob_name": "glob"}
            if not tools.has(needs.get(intent, intent)):
                continue
        return intent


def small_talk(n: Names, kind: str, held_out: bool = False) -> list[dict[str, Any]]:
    """A greeting or a question who the model is, and the answer."""
    text, answer = pair(draw(kind, n.rng, held_out, vary=True))
    return [_user(ask(n, text, {}, noise=not n.chance(0.5))), _say(answer)]


def exchange(n: Names, tools: ToolSet, request: Request) -> list[dict[str, Any]]:
    """A request, its call, the result and the answer."""
    if request.call is None:
        return [_user(request.text), _say(NO_TOOL)]
    outcome = results.make(n, request)
    return [_user(request.text), call_message(request.call), tool_message(outcome.result), _say(outcome.answer)]


def chain(n: Names, tools: ToolSet) -> list[dict[str, Any]] | None:
    """Two requests in one message: two calls, then one answer to both. None if the tools do not carry it."""
    pairs = (("write_quoted", "run_file"), ("write_quoted", "read"), ("mkdir", "write_quoted"), ("edit", "read"), ("read", "run"), ("read", "read"), ("touch", "list"), ("run", "run"), ("list", "read"), ("delete", "list"), ("write_quoted", "write_quoted"), ("list_dir", "read"), ("run", "read"), ("read", "write_quoted"))
    first, second = pairs[n.rng.randrange(len(pairs))]
    if not tools.has("run") or not tools.has("read") or not tools.has("write") or not tools.has("edit"):
        return None
    a, b = _part(n, tools, first), _part(n, tools, second)
    if a is None or b is None or a.call is None or b.call is None:
        return None
    joint = n.pick((", then ", " and then ", " and ", ", and then ", ". Then ", "; then ", ", after that ", ". After that, "))
    second_text = b.text[:1].lower() + b.text[1:] if not b.text.startswith("I ") else b.text
    text = a.text.rstrip(".!") + joint + second_text
    one, two = results.make(n, a), results.make(n, b)
    out = [_user(text), call_message(a.call), tool_message(one.result)]
    if one.failed:
        return [*out, _say(one.answer)]
    return [*out, call_message(b.call, 2), tool_message(two.result, 2), _say(f"{one.answer}\n{two.answer}")]


def _part(n: Names, tools: ToolSet, intent: str) -> Request | None:
    """A request that can stand in a chain: an imperative sentence on one line with a clear end."""
    for _ in range(12):
        request = requests.make(n, tools, intent, noise=False)
        start = request.text.split(" ")[0].lower()
        if start in CHAIN_VERBS and "?" not in request.text and "\n" not in request.text and request.call is not None:
            if intent != "run" or "`" in request.text:
                return request
    return None


CHAIN_VERBS = set("list show print display read open create write make put save store touch edit change replace update run execute delete remove view cat".split())


def follow_up(n: Names, tools: ToolSet, before: Request) -> list[dict[str, Any]] | None:
    """A second request that says "it" for the file of the one before."""
    path = before.slots.get("path", "")
    kinds = ["read", "delete"] + (["run_file"] * 2 if path.rsplit(".", 1)[-1] in RUNNERS else [])
    kind = n.pick(kinds)
    call, shell = requests.target(tools, kind, {"path": path})
    if call is None:
        return None
    request = Request(kind, ask(n, n.pick(IT[kind].split("|")), {}, noise=False), call, {"path": path}, shell)
    return exchange(n, tools, request)


def custom(n: Names) -> tuple[ToolSet, list[dict[str, Any]]]:
    """A tool of any kind (get_weather(city), …) with a request that names its verb, its noun and its values."""
    tools = opencode(n) if n.chance(0.2) else ToolSet("custom")
    seen = {tool["function"]["name"] for tool in tools.tools}
    options: list[tuple[str, str, str, list[str]]] = []
    for _ in range(n.rng.randint(1, 4)):
        verb, noun = n.pick(CUSTOM_VERBS), n.pick(CUSTOM_NOUNS) if n.chance(0.6) else n.word()
        name = n.pick((f"{verb}_{noun}", f"{verb}_{noun}", verb + noun.capitalize(), f"{noun}_{verb}"))
        keys = list(dict.fromkeys(n.pick(CUSTOM_KEYS) if n.chance(0.75) else n.word() for _ in range(n.rng.choice((1, 1, 2, 2, 3)))))
        if name not in seen | banned() and not banned().intersection(keys) and noun not in {option[1] for option in options}:
            seen.add(name)
            options.append((verb, noun, name, keys))
            tools.add(name, keys)
    if not options:
        return custom(n)
    n.rng.shuffle(tools.tools)
    verb, noun, name, keys = options[n.rng.randrange(len(options))]
    values = {key: n.pick((n.word().title(), n.word(), str(n.number(500)), n.phrase(2, 3), n.stem())) for key in keys}
    x = n.rng.random()
    if len(keys) == 1 and x < 0.6:
        text = f"{verb} the {noun} {n.pick(('for', 'of', 'in', 'with ' + keys[0], 'named', 'to'))} {values[keys[0]]}"
        if verb in ("get", "check", "show", "lookup", "find") and n.chance(0.6):
            text = n.pick((f"what is the {noun} {n.pick(('for', 'of', 'in'))} {values[keys[0]]}?", f"{noun} {n.pick(('for', 'in', 'of'))} {values[keys[0]]}", f"what's the {noun} in {values[keys[0]]}", f"I need the {noun} of {values[keys[0]]}", f"how is the {noun} in {values[keys[0]]}?"))
    elif x < 0.75:
        text = f"{verb} {n.pick(('the', 'a', 'my'))} {noun} with " + " and ".join(f"{key} {values[key]}" for key in keys)
    else:
        text = f"{n.pick(('use', 'call'))} {name} with " + ", ".join(f"{key}{n.pick((' = ', '=', ': ', ' '))}{values[key]}" for key in keys)
    result = n.pick((sentence(n), str(n.number(999)), f"{n.word()}: {n.number()}"))
    call = {"name": name, "arguments": values}
    return tools, [_user(text[:1].upper() + text[1:] if n.chance(0.4) else text), call_message(call), tool_message(result), _say(f"The result is: {result}")]


def title(n: Names) -> Conversation:
    """OpenCode's request for a title: no tools, the user's first message, a title of a few words."""
    if n.chance(0.15):
        kind = n.pick(("greet", "identity"))
        text, name = small_talk(n, kind)[0]["content"], "Greeting" if kind == "greet" else "About the assistant"
    else:
        tools = opencode(n)
        request = requests.make(n, tools, requests.draw_intent(n))
        text, name = request.text, _title(request)
    head = "Generate a title for this conversation:\n"
    if n.chance(0.3):
        text = '"' + text.replace('"', '\\"') + '"\n'
    asked = [_user(head), _user(text)] if n.chance(0.85) else [_user(head + text)]
    return Conversation([{"role": "system", "content": TITLE_SYSTEM}, *asked, _say(name)], [], "title", [name])


def _title(request: Request) -> str:
    s = request.slots
    names = {
        "list": "List files", "list_dir": "Files in {dir}", "read": "Read {path}", "read_key": "{key} in {path}", "write_quoted": "Write {path}", "write_plain": "Write {path}",
        "touch": "Create {path}", "edit": "Edit {path}", "run_file": "Run {path}", "grep": "Search for {pattern}", "grep_dir": "Search for {pattern}", "glob_ext": "Find {ext} files",
        "glob_name": "Find {name}", "mkdir": "Create folder {dir}", "delete": "Delete {path}", "fetch": "Fetch {url}", "shell_fact": "Run {cmd}", "run": "Run {cmd}",
    }  # fmt: skip
    return names[request.intent].format(**s)


def generate(seed: int, split: Split = "train") -> Conversation:
    """One conversation. The same seed and split give the same conversation anywhere."""
    if split != "train":
        return evaluation(seed, split)
    n = Names(random.Random(f"{split}-{seed}"))
    system = n.pick(SYSTEMS) if n.chance(0.9) else sentence(n)
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    x = n.rng.random()
    if x < 0.03:
        return title(n)
    if x < 0.09:
        tools, more = custom(n)
        return Conversation(messages + more, tools.tools, "custom")
    if x < 0.115:
        messages += _without_tools(n)
        return Conversation(messages, [], "no_tools")
    tools = draw_tools(n, split)
    for _ in range(n.rng.choice((1, 2, 3, 3, 4, 4))):
        messages += _next(n, tools)
    if n.chance(0.06):
        _loosen(n, messages)
    return Conversation(messages, tools.tools, "mixed", [], tools.ignored())


def _next(n: Names, tools: ToolSet) -> list[dict[str, Any]]:
    """The next exchange, or two that hang together."""
    y = n.rng.random()
    if y < 0.025:
        return small_talk(n, "greet")
    if y < 0.06:
        return small_talk(n, "identity")
    if y < 0.075:
        question = n.pick(OPEN_QUESTIONS).replace("{w}", n.word()).replace("{v}", n.word())
        return [_user(ask(n, question, {})), _say(UNKNOWN)]
    if y < 0.135 and (steps := chain(n, tools)):
        return steps
    request = requests.make(n, tools, fitting_intent(n, tools, must_call=n.chance(0.6)))
    out = exchange(n, tools, request)
    if request.intent in ("write_quoted", "write_plain", "touch", "edit") and request.call and n.chance(0.15):
        out += follow_up(n, tools, request) or []
    return out


def _without_tools(n: Names) -> list[dict[str, Any]]:
    x = n.rng.random()
    if x < 0.25:
        return small_talk(n, "greet")
    if x < 0.55:
        return small_talk(n, "identity")
    if x < 0.7:
        question = n.pick(OPEN_QUESTIONS).replace("{w}", n.word()).replace("{v}", n.word())
        return [_user(ask(n, question, {})), _say(UNKNOWN)]
    request = requests.make(n, opencode(n), requests.draw_intent(n))
    return [_user(request.text), _say(NO_TOOLS)]


def _loosen(n: Names, messages: list[dict[str, Any]]) -> None:
    """Write the earlier calls as other clients send them back: spaced JSON; such turns are given, not learnt."""
    for message in messages[:-2]:
        for call in message.get("tool_calls", ()):
            call["function"]["arguments"] = json.dumps(json.loads(call["function"]["arguments"]), ensure_ascii=False)
            message["given"] = True


def evaluation(seed: int, split: Split, intents: tuple[str, ...] = requests.INTENTS) -> Conversation:
    """One exchange for an evaluation set: user, call, result and answer; new names in the request or in an exchange before.

    `quotes` is what the answer has to hold. Half of the exchanges have another one before them.
    """
    n = Names(random.Random(f"{split}-{seed}"), held_out=True)
    tools = draw_tools(n, split)
    system = n.pick(SYSTEMS)
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    request, outcome, named = _fresh(n, tools, split, intents)
    if not named or n.chance(0.3):
        before, first, _ = _fresh(n, tools, "known", BEFORE_INTENTS, named=True)
        messages += [_user(before.text), call_message(before.call or {}), tool_message(first.result), _say(first.answer)]
    messages += [_user(request.text), call_message(request.call or {}), tool_message(outcome.result), _say(outcome.answer)]
    return Conversation(messages, tools.tools, request.intent, outcome.quotes, tools.ignored())


def _fresh(
    n: Names, tools: ToolSet, split: Split, intents: tuple[str, ...], named: bool = False
) -> tuple[Request, results.Outcome, bool]:
    """A request that the tools can serve, its outcome, and whether it holds a new name.

    Requests with names in them always hold a new one; with `named` there are no others. Tool sets that serve none of
    the intents serve any other.
    """
    for attempt in itertools.count():
        intent = fitting_intent(n, tools, must_call=True)
        if intent not in intents and attempt < 200:
            continue
        request = requests.make(n, tools, intent, held_out=split == "phrasings", noise=False)
        new = any(word in request.text.lower() for word in n.used)
        slotless = request.intent in ("list", "shell_fact", "glob_ext")
        if request.call is not None and (new or (slotless and not named)):
            return request, results.make(n, request), new
    raise AssertionError("unreachable")

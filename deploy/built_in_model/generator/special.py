"""What is not file work: small talk, open questions, titles, any other tools, and no tools at all."""

from __future__ import annotations

from typing import Any

from deploy.built_in_model.generator import requests
from deploy.built_in_model.generator.asking import ask
from deploy.built_in_model.generator.exchanges import (
    call_message,
    say,
    tool_message,
    user,
)
from deploy.built_in_model.generator.names import Names
from deploy.built_in_model.generator.phrasings import draw, pair
from deploy.built_in_model.generator.requests import Request
from deploy.built_in_model.generator.texts import sentence
from deploy.built_in_model.generator.toolsets import ToolSet, banned, opencode

TITLE_SYSTEM = "You are a title generator. You output ONLY a thread title. Nothing else."

NO_TOOLS = "I have no tools here, so I cannot do that."

UNKNOWN = (
    "I am only the built-in demonstration model of Local Swarm and do not know that. I can work with "
    "files and commands."
)

OPEN_QUESTIONS = (
    "what is the capital of {w}|write a poem about {w}|explain {w} to me|why is the {w} {v}|tell me a "
    "joke about {w}|how does {w} work|"
    "what do you think about {w}|who invented the {w}|what is {w}|give me advice on {w}|translate {w} "
    "into French|what is the meaning of {w}|"
    "summarize the history of {w}|which is better, {w} or {v}|tell me a story about {w}|should I "
    "learn {w}|how do I cook {w}|compare {w} and {v}|"
    "what does {w} mean|is {w} healthy|who won the {w} championship|write an essay about {w} and {v}|"
    "what is the population of {w}|do you like {w}|"
    "can you teach me {w}|recommend a book about {w}|how old is the {w}|how many {w} are there in the "
    "world|what is the best {w}"
).split("|")

OPEN_WORK = (
    "fix the bug in the {w} code|fix the bug|refactor the {w} module|implement a {w} feature|optimize "
    "the {w} code|make it faster|"
    "add tests for the {w} class|write a function that sorts {w}|write a program that prints {w}|"
    "review my code|improve the {w}|"
    "build a website for {w}|write a {w} game|add error handling to {w}|document the {w} api|port the "
    "{w} to rust|clean up the code|"
    "why does the {w} test fail|what is wrong with my code|debug the {w} service|design a {w} "
    "database|set up the {w} project|"
    "find the bug in my {w} program|make the {w} prettier|delete everything|delete all files|solve "
    "this {w} puzzle|plan my {w} trip|"
    "translate the {w} docs into {v}|how can I make the {w} faster|think about {w}|do the {w} thing|"
    "continue|go on|do it|help me with my {w}"
).split("|")

CITIES = (
    "Paris London Berlin Tokyo Boston Madrid Rome Vienna Oslo Zurich Chicago Seattle Sydney Cairo Lima "
    "Delhi Munich Hamburg Dublin Prague"
).split()
WEATHER = (
    "what is the weather in {c}|what's the weather in {c}|what's the weather like in {c}|what is the "
    "weather like in {c} today|how is the weather in {c}|"
    "weather in {c}|weather {c}|tell me the weather in {c}|get the weather for {c}|check the weather "
    "in {c}|will it rain in {c}|is it cold in {c}|"
    "how warm is it in {c}|show me the weather of {c}|what is the temperature in {c}|do I need an "
    "umbrella in {c}|is it sunny in {c} today"
).split("|")

CUSTOM_VERBS = (
    "get find create update show send start stop open close check lookup add remove set play schedule "
    "cancel book order track"
).split()

CUSTOM_NOUNS = (
    "weather stock user order ticket invoice product customer event flight song movie recipe player room "
    "device sensor lamp contact timer alarm account city issue photo channel meeting price"
).split()

CUSTOM_KEYS = (
    "name id city title date email amount color user status message room number language topic level "
    "owner symbol quantity"
).split()


def small_talk(n: Names, kind: str, held_out: bool = False) -> list[dict[str, Any]]:
    """A greeting or a question who the model is, and the answer."""
    text, answer = pair(draw(kind, n.rng, held_out, n.stage.paraphrased))
    return [user(ask(n, text, {}, noise=not n.chance(0.5))), say(answer)]


def custom(n: Names) -> tuple[ToolSet, list[dict[str, Any]]]:
    """A tool of any kind (get_weather(city), …) and a request that names its verb, noun and values."""
    tools = opencode(n) if n.chance(0.2) else ToolSet("custom")
    seen = {tool["function"]["name"] for tool in tools.tools}
    options: list[tuple[str, str, str, list[str]]] = []
    for _ in range(n.rng.randint(1, 4)):
        verb, noun = n.pick(CUSTOM_VERBS), n.pick(CUSTOM_NOUNS) if n.chance(0.6) else n.word()
        name = n.pick((f"{verb}_{noun}", f"{verb}_{noun}", verb + noun.capitalize(), f"{noun}_{verb}"))
        keys = list(
            dict.fromkeys(
                n.pick(CUSTOM_KEYS) if n.chance(0.75) else n.word()
                for _ in range(n.rng.choice((1, 1, 2, 2, 3)))
            )
        )
        if (
            name not in seen | banned()
            and not banned().intersection(keys)
            and noun not in {option[1] for option in options}
        ):
            seen.add(name)
            options.append((verb, noun, name, keys))
            tools.add(name, keys)
    if not options:
        return custom(n)
    n.rng.shuffle(tools.tools)
    verb, noun, name, keys = options[n.rng.randrange(len(options))]
    values = {
        key: n.pick((n.word().title(), n.word(), str(n.number(500)), n.phrase(2, 3), n.stem()))
        for key in keys
    }
    x = n.rng.random()
    if len(keys) == 1 and x < 0.6:
        text = (
            f"{verb} the {noun} {n.pick(('for', 'of', 'in', 'with ' + keys[0], 'named', 'to'))} "
            f"{values[keys[0]]}"
        )
        if verb in ("get", "check", "show", "lookup", "find") and n.chance(0.6):
            text = n.pick(
                (
                    f"what is the {noun} {n.pick(('for', 'of', 'in'))} {values[keys[0]]}?",
                    f"{noun} {n.pick(('for', 'in', 'of'))} {values[keys[0]]}",
                    f"what's the {noun} in {values[keys[0]]}",
                    f"I need the {noun} of {values[keys[0]]}",
                    f"how is the {noun} in {values[keys[0]]}?",
                )
            )
    elif x < 0.75:
        text = f"{verb} {n.pick(('the', 'a', 'my'))} {noun} with " + " and ".join(
            f"{key} {values[key]}" for key in keys
        )
    else:
        text = f"{n.pick(('use', 'call'))} {name} with " + ", ".join(
            f"{key}{n.pick((' = ', '=', ': ', ' '))}{values[key]}" for key in keys
        )
    result = n.pick((sentence(n), str(n.number(999)), f"{n.word()}: {n.number()}"))
    call = {"name": name, "arguments": values}
    return tools, [
        user(text[:1].upper() + text[1:] if n.chance(0.4) else text),
        call_message(call),
        tool_message(result),
        say(f"The result is: {result}"),
    ]


def weather(n: Names) -> tuple[ToolSet, list[dict[str, Any]]]:
    """The weather in a city: the request that everybody tries a tool with first."""
    tools = opencode(n) if n.chance(0.15) else ToolSet("custom")
    key = n.pick(("city", "city", "town", "city_name", "area"))
    name = n.pick(
        (
            "get_weather",
            "get_weather",
            "get_current_weather",
            "weather",
            "getWeather",
            "fetch_weather",
            "weather_in",
        )
    )
    tools.add(name, (key,), (n.pick(("unit", "units", "date")),) if n.chance(0.4) else ())
    if n.chance(0.5):
        tools.add("get_time", ("timezone",))
    n.rng.shuffle(tools.tools)
    city = n.pick(CITIES) if n.chance(0.5) else n.capital()
    text = n.pick(WEATHER).replace("{c}", city)
    result = n.pick(
        (
            f"{n.number(35)} degrees, {n.pick(('sunny', 'cloudy', 'rain', 'snow'))}",
            f'{{"temperature": {n.number(35)}}}',
            sentence(n),
        )
    )
    call = {"name": name, "arguments": {key: city}}
    return tools, [
        user(ask(n, text, {}, noise=False)),
        call_message(call),
        tool_message(result),
        say(f"The result is: {result}"),
    ]


def title(n: Names) -> list[dict[str, Any]]:
    """OpenCode's request for a title: no tools, the user's first message, a title of a few words."""
    if n.chance(0.15):
        kind = n.pick(("greet", "identity"))
        text, name = (
            small_talk(n, kind)[0]["content"],
            "Greeting" if kind == "greet" else "About the assistant",
        )
    else:
        tools = opencode(n)
        request = requests.make(n, tools, requests.draw_intent(n))
        text, name = request.text, title_of(request)
    head = "Generate a title for this conversation:\n"
    if n.chance(0.3):
        text = '"' + text.replace('"', '\\"') + '"\n'
    asked = [user(head), user(text)] if n.chance(0.85) else [user(head + text)]
    return [{"role": "system", "content": TITLE_SYSTEM}, *asked, say(name)]


def title_of(request: Request) -> str:
    s = request.slots
    names = {
        "list": "List files",
        "list_dir": "Files in {dir}",
        "read": "Read {path}",
        "read_key": "{key} in {path}",
        "write_quoted": "Write {path}",
        "write_plain": "Write {path}",
        "touch": "Create {path}",
        "edit": "Edit {path}",
        "run_file": "Run {path}",
        "grep": "Search for {pattern}",
        "grep_dir": "Search for {pattern}",
        "glob_ext": "Find {ext} files",
        "glob_name": "Find {name}",
        "mkdir": "Create folder {dir}",
        "delete": "Delete {path}",
        "fetch": "Fetch {url}",
        "shell_fact": "Run {cmd}",
        "run": "Run {cmd}",
    }
    return names[request.intent].format(**s)


def beyond(n: Names) -> list[dict[str, Any]]:
    """A question about the world, or work that is beyond the model."""
    asked = n.pick(OPEN_QUESTIONS if n.chance(0.65) else OPEN_WORK)
    return [user(ask(n, asked.replace("{w}", n.word()).replace("{v}", n.word()), {})), say(UNKNOWN)]


def without_tools(n: Names) -> list[dict[str, Any]]:
    """An exchange without any tools."""
    x = n.rng.random()
    if x < 0.15:
        return small_talk(n, "greet")
    if x < 0.35:
        return small_talk(n, "identity")
    if x < 0.45:
        return beyond(n)
    request = requests.make(n, opencode(n), requests.draw_intent(n))
    return [user(request.text), say(NO_TOOLS)]

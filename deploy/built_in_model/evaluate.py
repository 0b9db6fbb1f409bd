"""Measures the built-in model on its four sets: ``make eval-model``.

Every item is generated greedily by llama.cpp from the GGUF, with the chat template that the GGUF carries. A
call counts when it is the only one, its name is right and its arguments equal the expected ones as JSON
values, those left out that the item ignores. An answer counts when it calls nothing and quotes every string
asked for.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jinja2.sandbox import ImmutableSandboxedEnvironment

HERE = Path(__file__).parent
BARS = {"known": 0.97, "phrasings": 0.85, "tools": 0.75, "answers": 0.92}
OPEN, CLOSE = "<tool_call>", "</tool_call>"
MAX_TOKENS = 400
CONTEXT = 2048

Item = Mapping[str, Any]


@dataclass(frozen=True)
class Reply:
    """What the model said: the prose outside of calls, and the calls; ``broken`` when a call is no JSON."""

    text: str
    calls: tuple[Mapping[str, Any], ...] = ()
    broken: bool = False


@dataclass(frozen=True)
class Outcome:
    """One item's verdict, with what is needed to look at a failure."""

    set: str
    id: str
    intent: str
    right: bool
    called: bool
    after_result: bool
    asked: str
    expected: Any
    got: str


def parse(raw: str) -> Reply:
    """Splits generated text into prose and calls."""
    prose, calls = [], []
    rest, broken = raw, False
    while OPEN in rest:
        before, _, rest = rest.partition(OPEN)
        prose.append(before)
        body, closed, rest = rest.partition(CLOSE)
        try:
            call = json.loads(body)
        except ValueError:
            call = None
        well_formed = isinstance(call, dict) and isinstance(call.get("name"), str)
        if closed and well_formed and isinstance(call.get("arguments"), dict):
            calls.append(call)
        else:
            broken = True
    prose.append(rest)
    return Reply("".join(prose).strip(), tuple(calls), broken)


def same(expected: Any, got: Any) -> bool:
    """Equality of JSON values; unlike Python's, ``true`` is not 1."""
    if isinstance(expected, bool) or isinstance(got, bool):
        return expected is got
    if isinstance(expected, dict) and isinstance(got, dict):
        return expected.keys() == got.keys() and all(same(value, got[key]) for key, value in expected.items())
    if isinstance(expected, list) and isinstance(got, list):
        return len(expected) == len(got) and all(map(same, expected, got))
    return type(expected) is type(got) and bool(expected == got)


def correct(item: Item, reply: Reply) -> bool:
    """Whether ``reply`` is what ``item`` asks for."""
    expect = item["expect"]
    if reply.broken:
        return False
    if "quotes" in expect:
        return not reply.calls and all(quote in reply.text for quote in expect["quotes"])
    if len(reply.calls) != 1 or reply.calls[0]["name"] != expect["name"]:
        return False
    ignored = set(item.get("ignore", ()))
    acting = [
        {key: value for key, value in arguments.items() if key not in ignored}
        for arguments in (expect["arguments"], reply.calls[0]["arguments"])
    ]
    return same(*acting)


def judge(name: str, item: Item, raw: str) -> Outcome:
    """The verdict on the generated text ``raw`` for an item of the set ``name``."""
    reply = parse(raw)
    last = item["messages"][-1]
    return Outcome(
        set=name,
        id=item["id"],
        intent=item["intent"],
        right=correct(item, reply),
        called=bool(reply.calls) or reply.broken,
        after_result=last["role"] == "tool",
        asked=str(last["content"]),
        expected=item["expect"],
        got=raw,
    )


def expand(short: Item, number: int, tools: Any) -> Item:
    """A request written by hand, ``{"request", "name", "arguments"}``, as an item under ``tools``."""
    system = {"role": "system", "content": "You are OpenCode, the best coding agent on the planet."}
    return {
        "id": f"hand-{number:03d}",
        "intent": short["name"],
        "messages": [system, {"role": "user", "content": short["request"]}],
        "tools": tools,
        "expect": {"name": short["name"], "arguments": short["arguments"]},
        "ignore": ["description"],
    }


def read_set(path: Path) -> list[Item]:
    """The items of one set; raises ValueError naming the line that is broken.

    Requests written by hand stand in a short form; their tools are in ``…_tools.json`` beside the set.
    """
    items: list[Item] = []
    shared = path.with_name(f"{path.stem}_tools.json")
    tools = json.loads(shared.read_text(encoding="utf-8")) if shared.exists() else None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            item = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from error
        items.append(expand(item, number, tools) if "request" in item else item)
    return items


def table(outcomes: Iterable[Outcome], bars: Mapping[str, float]) -> str:
    """Right of all per set, with its bar, and per intent within the set."""
    by_set: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for outcome in outcomes:
        by_set[outcome.set][outcome.intent].append(outcome.right)
    lines = []
    for name, intents in by_set.items():
        everything = [right for rights in intents.values() for right in rights]
        share = sum(everything) / len(everything)
        bar = f"  bar {bars[name]:.2f} {'met' if share >= bars[name] else 'MISSED'}" if name in bars else ""
        lines.append(f"{name:<14}{share:6.3f}  {sum(everything):4d} of {len(everything):4d}{bar}")
        for intent, rights in sorted(intents.items()):
            lines.append(
                f"  {intent:<12}{sum(rights) / len(rights):6.3f}  {sum(rights):4d} of {len(rights):4d}"
            )
    return "\n".join(lines)


def shares(outcomes: Iterable[Outcome]) -> dict[str, float]:
    """Share of right items per set."""
    rights: dict[str, list[bool]] = defaultdict(list)
    for outcome in outcomes:
        rights[outcome.set].append(outcome.right)
    return {name: sum(values) / len(values) for name, values in rights.items()}


def answered(outcomes: Iterable[Outcome]) -> float | None:
    """Share of the items ending in a tool's result that the model answered in words instead of calling again.

    Only items that ask for an answer count; None when there is none.
    """
    asked = [o for o in outcomes if o.after_result and "quotes" in o.expected]
    return sum(not outcome.called for outcome in asked) / len(asked) if asked else None


def load(model: Path, threads: int) -> Callable[[Item], str]:
    """The greedy generator for items: template and tokenizer are those of the file ``model``."""
    from llama_cpp import Llama

    llama = Llama(str(model), n_ctx=CONTEXT, n_threads=threads, n_threads_batch=threads, verbose=False)
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(llama.metadata["tokenizer.chat_template"])

    def generate(item: Item) -> str:
        prompt = template.render(
            messages=item["messages"], tools=item.get("tools"), add_generation_prompt=True
        )
        tokens = llama.tokenize(prompt.encode(), add_bos=False, special=True)
        done = llama.create_completion(tokens, max_tokens=MAX_TOKENS, temperature=0.0, repeat_penalty=1.0)
        return str(done["choices"][0]["text"])

    return generate


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="evaluate", description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=Path, default=HERE / "swarm-demo.gguf")
    parser.add_argument(
        "--sets", nargs="*", default=[*BARS, "hand_written"], metavar="NAME", help="of the folder sets/"
    )
    parser.add_argument("--limit", type=int, help="only the first items of each set")
    parser.add_argument("--failures", type=int, default=0, metavar="N", help="show N failures of each set")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all outcomes there")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def main() -> int:
    """Runs the command; 1 when a bar is missed."""
    options = arguments()
    generate = load(options.model, options.threads)
    begun = time.monotonic()
    outcomes = [
        judge(name, item, generate(item))
        for name in options.sets
        for item in read_set(HERE / "sets" / f"{name}.jsonl")[: options.limit]
    ]
    seconds = time.monotonic() - begun
    print(table(outcomes, BARS))
    share = answered(outcomes)
    if share is not None:
        print(f"answers after a tool's result instead of calling again: {share:.3f}")
    print(f"{len(outcomes)} items, {1000 * seconds / len(outcomes):.0f} ms each")
    for name in options.sets:
        wrong = [outcome for outcome in outcomes if outcome.set == name and not outcome.right]
        for outcome in wrong[: options.failures]:
            expected = json.dumps(outcome.expected, ensure_ascii=False)
            print(f"\n{outcome.id} {outcome.intent}\n  asked    {outcome.asked}\n  expected {expected}")
            print(f"  got      {outcome.got}")
    if options.json:
        summary = {"shares": shares(outcomes), "outcomes": [asdict(outcome) for outcome in outcomes]}
        options.json.write_text(json.dumps(summary, ensure_ascii=False, indent=1), encoding="utf-8")
    missed = [name for name, value in shares(outcomes).items() if value < BARS.get(name, 0.0)]
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

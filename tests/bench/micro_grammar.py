"""What a grammar costs: for each token of a call, for each token of prose beside it, and to begin with.

`python -m tests.bench.micro_grammar [--json FILE]`. A vocabulary of 151,936 tokens, tools as a coding agent
offers them, a call that edits a file, in JSON and between markers. The mask's application to the logits is
not in it: `micro_sampling` tells that.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import mean, quantiles
from time import perf_counter

from services.common.chat import ChatRequest, Message, Role, Tool
from services.inference_worker.chat.formats import FORMATS
from services.inference_worker.grammar.plan import Grammars
from services.inference_worker.grammar.tokens import TokenTable
from tests.bench.words import SPECIAL, byte_spelling, vocabulary

_TEXT = {"type": "string"}
_PROSE = "The file has to be read before it is changed, so that nothing of it is lost. " * 8
_CODE = (
    "def area(shape):\n"
    '    if shape["kind"] < 3:\n'
    '        return {"a": [1, 2]}\n'
    "    # </b> done\n"
    "    return None\n"
)


def _tool(name: str, required: Sequence[str], **properties: object) -> Tool:
    return Tool(
        name, "", json.dumps({"type": "object", "properties": properties, "required": list(required)})
    )


TOOLS = (
    _tool("bash", ["command"], command=_TEXT, timeout={"type": "integer"}, workdir=_TEXT),
    _tool(
        "edit",
        ["filePath", "oldString", "newString"],
        filePath=_TEXT,
        oldString=_TEXT,
        newString=_TEXT,
        replaceAll={"type": "boolean"},
    ),
    _tool("grep", ["pattern"], pattern=_TEXT, path=_TEXT, include=_TEXT),
    _tool("read", ["filePath"], filePath=_TEXT, offset={"type": "integer"}, limit={"type": "integer"}),
)
ARGUMENTS = {"filePath": "/src/area.py", "oldString": _CODE, "newString": _CODE * 3}
_CALLS = {
    "hermes_json": '<tool_call>\n{"name": "edit", "arguments": ' + json.dumps(ARGUMENTS) + "}\n</tool_call>",
    "qwen3_coder_xml": "<tool_call>\n<function=edit>\n"
    + "".join(f"<parameter={name}>\n{value}\n</parameter>\n" for name, value in ARGUMENTS.items())
    + "</function>\n</tool_call>",
}


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds: `held` and `prose` a token on average, `p99` of those that are held; `plan` of a request
    whose tools were not seen before, `again` of one whose were."""

    format: str
    tokens: int
    held: float
    p99: float
    prose: float
    plan: float
    again: float


def pieces() -> list[bytes]:
    """The bytes of each token; some thousand words make room for what stands in code."""
    spelled = {character: byte for byte, character in enumerate(byte_spelling())}
    tokens = list(vocabulary().tokens)
    found = [
        token.encode() if token in SPECIAL else bytes(spelled[each] for each in token) for token in tokens
    ]
    signs = ('"', "'", "{", "}", "(", ")", "[", "]", "<", ">", "</", "=", ":", ",", ".", "_", "/", "\n", "  ")
    code = [*("".join(each) for each in itertools.product(signs, repeat=2)), *(" " * n for n in range(2, 33))]
    code += [sign + word for sign in signs for word in vocabulary().words[:100]]
    code += ["<tool_call>", "</tool_call>", "<think>", "</think>", "parameter", "function", "command"]
    # The last words have their blanks and stand before the special tokens.
    places = range(len(tokens) - len(SPECIAL) - len(code), len(tokens) - len(SPECIAL))
    for place, piece in zip(places, code, strict=True):
        found[place] = piece.encode()
    return found


def make_table() -> tuple[TokenTable, float]:
    """And the seconds that it took, without reading the vocabulary."""
    found = pieces()
    started = perf_counter()
    table = TokenTable(len(found), found.__getitem__, [len(found) - 2])
    return table, perf_counter() - started


def measure(table: TokenTable, format: str, rounds: int) -> Timing:
    grammars = Grammars(FORMATS[format], table)
    request = ChatRequest("", (Message(Role.USER, "go"),), TOOLS)
    plans = []
    for _ in range(2):
        started = perf_counter()
        plan = grammars.plan(request, TOOLS, "")
        plans.append(1e3 * (perf_counter() - started))
    tokens = table.spell((_PROSE + _CALLS[format]).encode())
    assert tokens is not None
    held: list[float] = []
    prose: list[float] = []
    for _ in range(rounds):
        guide = plan.guide(0)
        assert guide is not None
        for token in tokens:
            started = perf_counter()
            mask = guide.mask()
            guide.accept(token, table.text(token))
            spent = 1e3 * (perf_counter() - started)
            assert mask is None or int(mask[token // 32]) >> token % 32 & 1, table.text(token)
            (prose if mask is None else held).append(spent)
    count = len(held) // rounds
    return Timing(format, count, mean(held), quantiles(held, n=100)[-1], mean(prose), *plans)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="What holding calls to a grammar costs.")
    parser.add_argument("--rounds", type=int, default=20, help="calls for each number")
    parser.add_argument("--json", type=Path, help="a file for the numbers")
    asked = parser.parse_args(arguments)
    table, making = make_table()
    timings = [measure(table, format, asked.rounds) for format in _CALLS]
    print(f"{table.size} tokens; made ready in {making:.2f} s")
    print(f"{'format':16} {'tokens':>7} {'ms held':>8} {'p99':>6} {'prose':>7} {'plan':>7} {'again':>6}")
    for each in timings:
        print(
            f"{each.format:16} {each.tokens:7} {each.held:8.3f} {each.p99:6.2f} {each.prose:7.4f} "
            f"{each.plan:7.2f} {each.again:6.2f}"
        )
    if asked.json is not None:
        about = {
            "vocabulary": table.size,
            "machine": platform.machine(),
            "llguidance": version("llguidance"),
        }
        found = {**about, "making": making, "timings": [asdict(each) for each in timings]}
        asked.json.write_text(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

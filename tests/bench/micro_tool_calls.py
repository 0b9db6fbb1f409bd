"""How fast the push machine reads calls of each format, and that long arguments take linear time.

`python -m tests.bench.micro_tool_calls [--json FILE]`. A call that writes a file of 100 kB, whole and in
pieces of four characters, as tokens come; and its time over that of 10 kB, which is 10 for a linear machine.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import process_time

from services.common.chat import Tool
from services.inference_worker.chat.formats import FORMATS
from services.inference_worker.chat.machine import PushMachine
from tests.fakes.render_calls import RENDERERS, render

SMALL, LARGE = 10_000, 100_000
PIECE = 4
# Time of LARGE over that of SMALL.
GOAL_RATIO = 20.0
_LINES = (
    "def f(x: dict[str, int]) -> str:\n",
    '    return "\\n".join(f"{k}: {v}" for k, v in x.items())  # a < b && c > d\n',
    "<li class='x'>naïve 漢字 😀</li>\n",
    "\n",
)
_TEXT = {"type": "string"}
_SCHEMA = {"type": "object", "properties": {"filePath": _TEXT, "content": _TEXT}, "required": ["filePath"]}
TOOLS = (Tool("write", "Writes a file.", json.dumps(_SCHEMA)),)


@dataclass(frozen=True, slots=True)
class Timing:
    """Megabytes of UTF-8 a second, whole and in pieces of PIECE characters; time of LARGE over SMALL."""

    format: str
    whole: float
    streamed: float
    ratio: float

    @property
    def met(self) -> bool:
        return self.ratio <= GOAL_RATIO


def call(name: str, size: int) -> str:
    """A call whose argument has `size` characters."""
    page = "".join(_LINES)
    return render(name, [("write", {"filePath": "a.py", "content": (page * (size // len(page) + 1))[:size]})])


def read(name: str, text: str, piece: int) -> float:
    """Seconds of the processor that reading `text` takes."""
    pieces = [text[at : at + piece] for at in range(0, len(text), piece)] if piece else [text]
    machine = PushMachine(FORMATS[name], TOOLS, 0)
    start = process_time()
    for each in pieces:
        machine.feed(each)
    machine.finish(False)
    return process_time() - start


def best(measure: Callable[[], float], rounds: int) -> float:
    """The least of some measurements: whatever else the machine does only adds."""
    return min(measure() for _ in range(rounds))


def measure(name: str, rounds: int = 3) -> Timing:
    small, large = call(name, SMALL), call(name, LARGE)
    megabytes = len(large.encode()) / 1e6
    streamed = best(lambda: read(name, large, PIECE), rounds)
    return Timing(
        name,
        megabytes / best(lambda: read(name, large, 0), rounds),
        megabytes / streamed,
        streamed / best(lambda: read(name, small, PIECE), rounds),
    )


def measure_all(rounds: int = 3) -> list[Timing]:
    return [measure(name, rounds) for name in sorted(RENDERERS)]


def table(timings: Sequence[Timing]) -> str:
    lines = [f"{'format':18} {'whole':>10} {'streamed':>10} {'100 kB / 10 kB':>15}"]
    for each in timings:
        figures = f"{each.whole:5.1f} MB/s {each.streamed:5.1f} MB/s {each.ratio:15.1f}"
        lines.append(f"{each.format:18} {figures}{'' if each.met else '  over the goal'}")
    lines.append(f"pieces of {PIECE} characters; goal for the ratio: {GOAL_RATIO:g}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="How fast calls are read.")
    parser.add_argument("--rounds", type=int, default=3, help="measurements for each number")
    parser.add_argument("--json", type=Path, help="a file for the numbers")
    asked = parser.parse_args(arguments)
    timings = measure_all(asked.rounds)
    print(table(timings))
    if asked.json is not None:
        asked.json.write_text(json.dumps({"timings": [asdict(each) for each in timings]}, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

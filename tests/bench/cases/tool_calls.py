"""How fast generated text becomes calls, by format; and that long arguments take linear time."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path

from services.cli.bootstrap import ROOT
from tests.bench.bench import Bench, Case
from tests.bench.client import BenchError
from tests.bench.micro_tool_calls import GOAL_RATIO, Timing
from tests.bench.stats import Row, at_most

_MODULE = "tests.bench.micro_tool_calls"
_PATIENCE = 300.0


async def _run(bench: Bench) -> list[Row]:
    timings = await _timings(bench.form.size(3, 1))
    bench.tick()
    rows = []
    for each in timings:
        note = f"whole {each.whole:.1f} MB/s"
        rows.append(Row(f"reading calls: {each.format}", "MB/s", [each.streamed], note=note))
    worst = max(timings, key=lambda each: each.ratio)
    rows.append(
        Row("arguments of 100 kB over 10 kB", "x", [worst.ratio], goal=at_most(GOAL_RATIO),
            note=f"the worst, {worst.format}")
    )  # fmt: skip
    return rows


async def _timings(rounds: int) -> list[Timing]:
    """Measured in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="swarm-bench-") as folder:
        file = Path(folder) / "timings.json"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", _MODULE, "--rounds", str(rounds), "--json", str(file)),
            cwd=ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), _PATIENCE)
        if process.returncode != 0:
            raise BenchError(f"{_MODULE} failed:\n{output.decode(errors='replace')[-2000:]}")
        return [Timing(**each) for each in json.loads(file.read_text(encoding="utf-8"))["timings"]]


CASE = Case("tool_calls", _run, lambda form: 1)

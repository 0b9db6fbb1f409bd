"""What holding calls to a grammar adds to a step, at a vocabulary of 151,936."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path

from services.cli.bootstrap import ROOT
from tests.bench.bench import Bench, Case
from tests.bench.client import BenchError, chat
from tests.bench.micro_grammar import Timing
from tests.bench.stats import Row, at_most

_MODULE = "tests.bench.micro_grammar"
_PATIENCE = 180.0
# Without the mask's application to the logits, of which `micro` tells.
_SHARE = 5.0


async def _run(bench: Bench) -> list[Row]:
    timings = await _timings(bench.form.size(20, 3))
    bench.tick()
    step = 1e3 / (await chat(bench.ours.endpoint, bench.prompt(64), 64)).rate
    bench.tick()
    note = f"a step takes {step:.1f} ms"
    rows = []
    for each in timings:
        rows.append(
            Row(f"grammar, a token of a call: {each.format}", "% of a step", [100 * each.held / step],
                goal=at_most(_SHARE), note=f"{each.held:.3f} ms, p99 {each.p99:.2f}; {note}")
        )  # fmt: skip
        rows.append(
            Row(f"grammar, a token of prose: {each.format}", "% of a step", [100 * each.prose / step],
                goal=at_most(1.0), note=f"{each.prose:.4f} ms; tools not seen before: {each.plan:.1f} ms")
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


CASE = Case("grammar", _run, lambda form: 2)

"""What drawing a token costs at a vocabulary of 151,936, and what a grammar's mask adds to a step."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from services.cli.bootstrap import ROOT
from tests.bench.bench import Bench, Case
from tests.bench.client import BenchError, chat
from tests.bench.stats import Row, at_most

_MODULE = "tests.bench.micro_sampling"
_PATIENCE = 180.0
_MASK_SHARE = 2.0
_CHAINS = ("greedy", "top_k, top_p, min_p", "+ penalties, last 64")


async def _run(bench: Bench) -> list[Row]:
    timings = await _timings(bench.form.size(200, 40))
    bench.tick()
    step = 1e3 / (await chat(bench.ours.endpoint, bench.prompt(64), 64)).rate
    bench.tick()
    rows = []
    for chain in _CHAINS:
        timing = timings[chain]
        rows.append(
            Row(f"drawing: {chain}", "ms", [timing["plain"]], "llama.cpp's chain", [timing["theirs"]])
        )
    for chain in _CHAINS[:2]:
        added = 100 * (timings[chain]["masked"] - timings[chain]["plain"]) / step
        rows.append(
            Row(f"applying a mask: {chain}", "% of a step", [added], goal=at_most(_MASK_SHARE),
                note=f"a step takes {step:.1f} ms")
        )  # fmt: skip
    return rows


async def _timings(rounds: int) -> dict[str, dict[str, Any]]:
    """Milliseconds by chain, for logits as trained models have them; measured in a process of its own."""
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
        timings = json.loads(file.read_text(encoding="utf-8"))["timings"]
    return {each["chain"]: each for each in timings if each["logits"] == "text-like"}


CASE = Case("micro", _run, lambda form: 2)

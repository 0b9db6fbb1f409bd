"""Figures of single functions, each printed by a module of its own: sampling and grammar masks."""

from __future__ import annotations

import asyncio
import importlib.util
import sys

from services.cli.bootstrap import ROOT
from tests.bench.bench import Bench, Case
from tests.bench.client import BenchError
from tests.bench.stats import Row

_MODULE = "tests.bench.micro_sampling"
_PATIENCE = 120.0
_GRAMMAR_SHARE = 0.02


async def _run(bench: Bench) -> list[Row]:
    if importlib.util.find_spec(_MODULE) is None:
        return []
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", _MODULE, cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await asyncio.wait_for(process.communicate(), _PATIENCE)
    if process.returncode != 0:
        raise BenchError(f"{_MODULE} failed:\n{output.decode(errors='replace')[-2000:]}")
    bench.say(output.decode(errors="replace").rstrip())
    bench.tick()
    return []


CASE = Case("micro", _run, lambda form: 1)

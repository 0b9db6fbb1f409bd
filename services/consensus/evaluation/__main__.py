"""Measures the strategies on simulated voters, against the formulas. What `swarm eval` calls."""

from __future__ import annotations

import argparse
import asyncio
import io
import sys
import time
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from services.common.errors import SwarmError
from services.common.logging import configure
from services.common.settings import load
from services.consensus.evaluation import grid, report
from services.consensus.evaluation.check import Finding, check
from services.consensus.evaluation.live import differences, voters
from services.consensus.evaluation.population import Population
from services.consensus.evaluation.rules import LIVE, SUBJECTS

_ITEMS = {True: 1_000, False: 10_000}
_LIVE_ITEMS = {True: 10, False: 200}
# Seeds of different runs never meet: there are fewer cells than this, first and second measurements together.
_SEEDS = 10_000_000
# A log has no width of its own.
_WIDTH = 150


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="swarm eval", description=__doc__)
    parser.add_argument(
        "--simulated", action="store_true", required=True, help="voters that draw their answers, no model"
    )
    parser.add_argument("--quick", action="store_true", help="few cells, few items: about ten seconds")
    parser.add_argument(
        "--items", type=_at_least_one, default=0, help="items a cell; default 10000, quick 1000"
    )
    parser.add_argument("--seed", type=int, default=1, help="another one: other items")
    parser.add_argument(
        "--out", type=Path, help="folder for table, JSON and plot; default: in the state folder"
    )
    options = parser.parse_args(arguments)
    # Lost voters are part of the plan; each is in the figures.
    configure("eval", "error")
    started = time.time()
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(started))
    try:
        folder = options.out or load().settings.home / "evaluation" / f"simulated-{stamp}"
        return _run(options.quick, options.items or _ITEMS[options.quick], options.seed, folder, started)
    except (SwarmError, OSError) as error:
        print(f"swarm eval: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("swarm eval: interrupted", file=sys.stderr)
        return 130


def _run(quick: bool, items: int, seed: int, folder: Path, started: float) -> int:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
    cells = grid.quick() if quick else grid.full()
    corners = grid.quick()
    live_items = _LIVE_ITEMS[quick]
    asked = len(corners) * len(LIVE) * live_items
    columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("formulas", total=len(cells))
        findings = _findings(cells, items, seed, lambda: progress.advance(bar))
        bar = progress.add_task("real processes and RPCs", total=asked)
        odd = asyncio.run(_odd(corners, live_items, seed, lambda: progress.advance(bar)))
    off = [found for found in findings if not found.holds]
    about = {
        "form": "quick" if quick else "full",
        "items": items,
        "seed": seed,
        "seconds": round(time.time() - started),
        "asked_over_rpcs": asked,
        "differences": odd,
    }
    title = f"Simulated voters, {about['form']} form: {items:,} items a cell, seed {seed}"
    made = report.table(findings, title)
    text = io.StringIO()
    Console(file=text, width=_WIDTH).print(made)
    report.write(folder, findings, about, text.getvalue(), title)
    console.print(made)
    console.print(
        f"{len(findings) - len(off)} of {len(findings)} cells are within 3 sigma of the prediction."
    )
    console.print(f"{asked} items asked over RPCs, {len(odd)} decided otherwise; {folder}")
    for line in odd:
        console.print(line, style="red", markup=False)
    return 1 if off or odd else 0


def _findings(cells: Sequence[Population], items: int, seed: int, tick: Callable[[], None]) -> list[Finding]:
    found: list[Finding] = []
    for place, cell in enumerate(cells):
        found += check(cell, SUBJECTS, items, seed * _SEEDS + place)
        tick()
    return found


async def _odd(cells: Sequence[Population], items: int, seed: int, tick: Callable[[], None]) -> list[str]:
    found: list[str] = []
    async with voters(max(cell.voters for cell in cells)) as decider:
        for place, (cell, name) in enumerate(product(cells, LIVE)):
            method = SUBJECTS[name].method(cell)
            lines = await differences(decider, cell, name, method, items, seed * _SEEDS + place, tick)
            found += [f"{name}, {line}" for line in lines]
    return found


def _at_least_one(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {value}")
    return value


if __name__ == "__main__":
    sys.exit(main())

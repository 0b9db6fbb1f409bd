"""Builds what is missing, starts both sides, runs the cases and prints the table. What `make bench` calls."""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import platform
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import llama_cpp
import psutil
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from services.cli.bootstrap import ROOT, Reporter, SetupError
from services.inference_worker.models import cores
from tests.bench import models, peers, report
from tests.bench.bench import FULL, QUICK, Bench, Case, Form
from tests.bench.cases import CASES
from tests.bench.client import BenchError, chat
from tests.bench.ours import Stack
from tests.bench.setting import Setting
from tests.bench.stats import Row, Verdict
from tests.bench.theirs import LlamaServer

RESULTS = ROOT / "tests" / "bench" / "results"
_TEXT_WIDTH = 170
_CELLS = {True: 16_384, False: 36_864}
# Above this share of a core others are at work, and the figures say little.
_BUSY = 0.15


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, one round: at most three minutes")
    parser.add_argument(
        "--only", default="", help="cases, with commas between: " + ", ".join(c.name for c in CASES)
    )
    parser.add_argument("--rounds", type=int, default=0, help="rounds of each case; default 3, quick 1")
    parser.add_argument("--threads", type=int, default=cores.usable(), help="threads of both engines")
    options = parser.parse_args(arguments)
    form = QUICK if options.quick else FULL
    if options.rounds:
        form = Form(form.quick, options.rounds)
    chosen = [case for case in CASES if not (form.quick and case.only_long)]
    if options.only:
        wanted = {name.strip() for name in options.only.split(",")}
        if unknown := wanted - {case.name for case in CASES}:
            parser.error(f"--only: there is no case {', '.join(sorted(unknown))}")
        chosen = [case for case in CASES if case.name in wanted]
    # A log has no width of its own.
    # Whoever ends this process means what it started too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _TEXT_WIDTH)
    try:
        return _run(form, chosen, options.threads, console)
    except (BenchError, SetupError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130


def _run(form: Form, cases: Sequence[Case], threads: int, console: Console) -> int:
    started = time.time()
    programs = peers.get(os.environ, Reporter())
    setting = Setting(models.get(os.environ, console.print), threads, _CELLS[form.quick])
    noise = psutil.cpu_percent(interval=1.0) * (os.cpu_count() or 1) / 100
    if noise > _BUSY:
        console.print(f"[yellow]{noise:.1f} cores are busy already: the figures will say little.[/]")
    with Stack(setting) as ours, LlamaServer(programs, setting) as theirs:
        bench = Bench(form, setting, programs, ours, theirs)
        rows, failures = asyncio.run(_measure(bench, cases, console))
    about = {**_about(form, setting, started, noise), "failures": failures}
    title = f"Local Swarm and its peers, {'quick' if form.quick else 'full'} form, {about['seconds']} s"
    made = report.table(rows, title)
    text = io.StringIO()
    Console(file=text, width=_TEXT_WIDTH).print(made)
    folder = RESULTS / time.strftime("%Y%m%d-%H%M%S", time.localtime(started))
    report.write(folder, rows, about, text.getvalue(), title)
    console.print(made)
    missed = sum(row.verdict is Verdict.MISSED for row in rows)
    judged = sum(row.goal is not None for row in rows)
    console.print(f"{judged - missed} of {judged} goals met or within 5 %; {folder}")
    if form.quick:
        console.print("The quick form shows that everything runs; its sizes are too small for the goals.")
    for name, why in failures.items():
        console.print(f"[red]The case {name} FAILED:[/] {escape(why)}")
    return 1 if failures else 0


async def _measure(bench: Bench, cases: Sequence[Case], console: Console) -> tuple[list[Row], dict[str, str]]:
    """The rows, and why a case gave none: what the others found is not lost with it."""
    rows: list[Row] = []
    failures: dict[str, str] = {}
    columns = (TextColumn("{task.description:<16}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("warming up", total=sum(case.steps(bench.form) for case in cases))
        bench.tick = lambda: progress.advance(bar)
        bench.say = progress.console.print
        for endpoint in bench.endpoints:
            await chat(endpoint, bench.prompt(64), 8)
        done = 0
        for case in cases:
            progress.update(bar, description=case.name)
            try:
                rows += await case.run(bench)
            except BenchError as error:
                failures[case.name] = str(error)
            done += case.steps(bench.form)
            progress.update(bar, completed=done)
    return rows, failures


def _about(form: Form, setting: Setting, started: float, noise: float) -> dict[str, Any]:
    return {
        "form": "quick" if form.quick else "full",
        "rounds": form.rounds,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(started)),
        "seconds": round(time.time() - started),
        "busy_cores_before": round(noise, 2),
        "model": Path(setting.model).name,
        "threads": setting.threads,
        "cells": setting.cells,
        "slots": setting.slots,
        "llama_cpp_python": llama_cpp.__version__,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
    }

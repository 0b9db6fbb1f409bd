"""Asks a running model and compares every way to answer. What `swarm eval` calls."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from services.common.channel import open_channel
from services.common.errors import SwarmError
from services.consensus.remote import RemoteToolServer, RemoteWorker
from services.consensus.strategies.catalogue import CATALOGUE, build
from services.consensus.strategies.quorum import Quorums
from services.consensus.trial.bootstrap import Interval
from services.consensus.trial.compare import Marked, Row, Rule, compare
from services.consensus.trial.items import BadItemError, Item, arithmetic, functions, read_items
from services.consensus.trial.merit import merit_of, save
from services.consensus.trial.run import Setting, trial
from swarm.discovery.v1 import discovery_pb2
from swarm.inference.v1 import inference_pb2, inference_pb2_grpc

_SEED = 1
# Columns of the tables, also where the output is a file.
_WIDTH = 150


def rules() -> dict[str, Rule]:
    """Those that vote, but for those by the order of arrival, which is not the candidates'."""
    return {
        entry.name: Rule(build(entry.name, quorum=Quorums()), entry.sees_all)
        for entry in CATALOGUE.values()
        if entry.votes and not entry.by_arrival
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="swarm eval", description=__doc__)
    parser.add_argument("--worker", required=True, help="the worker's address, host:port")
    parser.add_argument("--tool-server", default="", help="runs the code that answers contain")
    parser.add_argument("--items", type=Path, nargs="*", default=[], help="files of items, one JSON a line")
    parser.add_argument("--drawn", type=int, default=300, help="items of each drawn kind")
    parser.add_argument("--most", type=int, default=0, help="of each kind at most so many; 0: all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--candidates", type=int, default=5)
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--out", type=Path, required=True, help="folder of the results, also for `auto`")
    options = parser.parse_args()
    console = Console(width=_WIDTH)
    try:
        items = _items(options.items, options.drawn, options.most)
        return asyncio.run(_run(options, items, console))
    except (SwarmError, BadItemError, OSError) as error:
        console.print(f"[red]{error}")
        return 1


def _items(files: Sequence[Path], drawn: int, most: int) -> list[Item]:
    found = [item for file in files for item in read_items(file)]
    found += arithmetic(drawn, _SEED) + functions(drawn, _SEED)
    kept: dict[str, list[Item]] = defaultdict(list)
    for item in found:
        if not most or len(kept[item.kind]) < most:
            kept[item.kind].append(item)
    return [item for group in kept.values() for item in group]


async def _run(options: argparse.Namespace, items: Sequence[Item], console: Console) -> int:
    member = discovery_pb2.Member(id="worker", name="worker", address=options.worker, slots=1)
    worker = RemoteWorker(member, lambda: None)
    server = RemoteToolServer(options.tool_server) if options.tool_server else None
    marked: list[Marked] = []
    started = time.monotonic()
    try:
        model = await _model(options.worker)
        setting = Setting(model, tuple(range(1, options.seeds + 1)), options.candidates, options.temperature)
        with Progress(console=console, disable=not sys.stderr.isatty()) as progress:
            task = progress.add_task(model, total=len(items))
            async with aclosing(trial(worker, server, items, setting)) as results:
                async for each in results:
                    marked.append(each)
                    progress.advance(task)
    finally:
        await worker.retire()
        if server is not None:
            await server.close()
    tried = rules()
    groups: dict[str, list[Marked]] = defaultdict(list)
    for each in marked:
        groups[each.answers.item.kind].append(each)
    tables = {"all": compare(marked, tried, _SEED)}
    tables |= {kind: compare(group, tried, _SEED) for kind, group in groups.items()}
    for name, rows in tables.items():
        console.print(_table(name, rows, len(groups.get(name, marked))))
    merit = merit_of(model, tables["all"], list(tried), len(items), options.candidates, options.temperature)
    path = save(options.out, merit)
    report = {name: [asdict(row) for row in rows] for name, rows in tables.items()}
    path.with_suffix(".report").write_text(json.dumps(report, indent=1), encoding="utf-8")
    verdict = merit.best.strategy if merit.best else "no vote: nothing beats a single answer for sure"
    console.print(f"{len(items)} items in {time.monotonic() - started:.0f} s. `auto` takes: {verdict}")
    return 0


async def _model(address: str) -> str:
    async with open_channel(address) as channel:
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        answer = await stub.ListModels(inference_pb2.ListModelsRequest(), timeout=10.0)
    return answer.models[0].id


def _table(name: str, rows: Sequence[Row], items: int) -> Table:
    table = Table(title=f"{name}: {items} items")
    for column in ("way", "right", "over one sample", "over greedy", "tokens", "seconds", "undecided"):
        table.add_column(column, no_wrap=True)
    for row in rows:
        table.add_row(
            row.way,
            _share(row.share),
            _gain(row.over_sample),
            _gain(row.over_greedy),
            f"{row.tokens:.0f}",
            "" if row.seconds is None else f"{row.seconds:.2f}",
            f"{row.undecided:.3f}",
        )
    return table


def _share(value: Interval) -> str:
    return f"{value.mean:.3f} ({value.low:.3f} to {value.high:.3f})"


def _gain(value: Interval) -> str:
    return f"{value.mean:+.3f} ({value.low:+.3f} to {value.high:+.3f})"


if __name__ == "__main__":
    sys.exit(main())

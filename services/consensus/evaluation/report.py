"""Findings as a table, JSON and a plot. Pure but for `write`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from rich.table import Table

from services.consensus.evaluation.check import SIGMAS, Finding, deviation
from services.consensus.evaluation.grid import trouble_of

_COLUMNS = ("trouble", "p", "correlation", "collision", "strategy", "right %", "predicted", "wrong %")
_FIGURES = ("predicted", "votes", "sigmas", "")


def table(findings: Sequence[Finding], title: str) -> Table:
    caption = (
        "p: accuracy of one honest voter; votes: heard per item until it was decided; sigmas: how far the "
        "measured shares are from the predicted ones, the larger of both; behind a /: measured once more"
    )
    made = Table(title=title, caption=caption)
    for name in (*_COLUMNS, *_FIGURES):
        text = name in ("trouble", "strategy", "")
        made.add_column(name, justify="left" if text else "right", no_wrap=True)
    for found in findings:
        people, counts = found.population, found.measured
        made.add_row(
            trouble_of(people),
            *(f"{value:g}" for value in (people.accuracy, people.correlation, people.collision)),
            found.strategy,
            f"{100 * counts.right / counts.items:.1f}",
            f"{100 * found.predicted.right:.1f}",
            f"{100 * counts.wrong / counts.items:.1f}",
            f"{100 * found.predicted.wrong:.1f}",
            f"{counts.heard / counts.items:.1f}",
            f"{deviation(counts, found.predicted):.1f}"
            + (f" / {found.deviation:.1f}" if found.again else ""),
            "" if found.holds else "[red]OFF[/]",
        )
    return made


def as_json(findings: Sequence[Finding], about: Mapping[str, Any]) -> str:
    rows = [
        {
            "strategy": found.strategy,
            "population": asdict(found.population),
            "predicted": asdict(found.predicted),
            "measured": asdict(found.measured),
            "again": asdict(found.again) if found.again else None,
            "sigmas": min(found.deviation, 1e9),
            "holds": found.holds,
        }
        for found in findings
    ]
    return json.dumps({"about": about, "rows": rows}, indent=1)


_SIDE, _GAP, _TOP = 180, 56, 100
# From one row of panels to the next.
_ROW = _SIDE + 76
_COLOURS = ("#1d6fa5", "#2a9d5c", "#d9a400", "#c8442f", "#7a52a1", "#555555")


def plot(findings: Sequence[Finding], title: str) -> str:
    """An SVG: share of right answers over the accuracy of one voter, a panel for each strategy, trouble and
    collision. Lines are predicted, dots with bars of three standard deviations measured, a colour for each
    correlation; on the dashed line a vote is as good as one voter."""
    collisions = sorted({found.population.collision for found in findings})
    correlations = sorted({found.population.correlation for found in findings})
    rows = list(dict.fromkeys((found.strategy, trouble_of(found.population)) for found in findings))
    step = _SIDE + _GAP
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_GAP + step * max(2, len(collisions))}" '
        f'height="{_TOP + _ROW * len(rows)}" font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="16" y="26" font-size="16" font-weight="bold">{escape(title)}</text>',
        '<text x="16" y="46">correlation:</text>',
    ]
    colours = {each: _COLOURS[place % len(_COLOURS)] for place, each in enumerate(correlations)}
    for place, (correlation, colour) in enumerate(colours.items()):
        lines.append(f'<text x="{90 + 50 * place}" y="46" fill="{colour}">{correlation:g}</text>')
    for down, (strategy, trouble) in enumerate(rows):
        top = _TOP + _ROW * down
        heading = escape(f"{strategy}, trouble: {trouble}")
        lines.append(f'<text x="{_GAP}" y="{top - 24}" font-weight="bold">{heading}</text>')
        for right, collision in enumerate(collisions):
            chosen = [
                found
                for found in findings
                if (found.strategy, trouble_of(found.population)) == (strategy, trouble)
                and found.population.collision == collision
            ]
            lines += _panel(chosen, _GAP + step * right, top, f"collision {collision:g}", colours)
    return "\n".join([*lines, "</svg>"]) + "\n"


def _panel(
    findings: Sequence[Finding], left: int, top: int, name: str, colours: Mapping[float, str]
) -> Iterator[str]:
    def at(accuracy: float, share: float) -> tuple[float, float]:
        return left + _SIDE * accuracy, top + _SIDE * (1 - share)

    yield f'<rect x="{left}" y="{top}" width="{_SIDE}" height="{_SIDE}" fill="none" stroke="#8a94a0"/>'
    yield f'<text x="{left}" y="{top - 6}">{escape(name)}</text>'
    yield f'<text x="{left + _SIDE / 2}" y="{top + _SIDE + 14}" text-anchor="middle">one voter, 0 to 1</text>'
    yield (
        f'<line x1="{left}" y1="{top + _SIDE}" x2="{left + _SIDE}" y2="{top}" stroke="#8a94a0" '
        'stroke-dasharray="4 3"/>'
    )
    for correlation, colour in colours.items():
        line = sorted(
            (found for found in findings if found.population.correlation == correlation),
            key=lambda found: found.population.accuracy,
        )
        points = " ".join(
            "{:.1f},{:.1f}".format(*at(found.population.accuracy, found.predicted.right)) for found in line
        )
        if points:
            yield f'<polyline points="{points}" fill="none" stroke="{colour}"/>'
        for found in line:
            counts = found.again or found.measured
            share = counts.right / counts.items
            spread = SIGMAS * (share * (1 - share) / counts.items) ** 0.5
            x, y = at(found.population.accuracy, share)
            _, low = at(0, max(0.0, share - spread))
            _, high = at(0, min(1.0, share + spread))
            yield f'<line x1="{x:.1f}" y1="{low:.1f}" x2="{x:.1f}" y2="{high:.1f}" stroke="{colour}"/>'
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>'


def write(folder: Path, findings: Sequence[Finding], about: Mapping[str, Any], text: str, title: str) -> None:
    """table.txt, results.json and plot.svg in `folder`. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.txt").write_text(text, encoding="utf-8")
    (folder / "results.json").write_text(as_json(findings, about), encoding="utf-8")
    (folder / "plot.svg").write_text(plot(findings, title), encoding="utf-8")

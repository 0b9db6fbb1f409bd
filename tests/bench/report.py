"""The table as text, JSON and a plot. Pure but for `write`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from rich.table import Table

from tests.bench.stats import Figures, Row, Verdict

_STYLES = {Verdict.MET: "green", Verdict.NEAR: "yellow", Verdict.MISSED: "red", Verdict.NONE: ""}
_COLOURS = {
    Verdict.MET: "#2a9d5c",
    Verdict.NEAR: "#d9a400",
    Verdict.MISSED: "#c8442f",
    Verdict.NONE: "#8a94a0",
}


def number(value: float) -> str:
    """Three digits that mean something, thousands with their commas."""
    if abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def spread(figures: Figures) -> str:
    low, high = figures.spread
    return f"{number(figures.median)} ({number(low)}-{number(high)})" if low != high else number(low)


def table(rows: Sequence[Row], title: str) -> Table:
    made = Table(
        title=title, caption="median (least-greatest) of the rounds; ratios are taken round by round"
    )
    for name in ("work", "ours", "against", "theirs", "ratio", "goal", "verdict", "note"):
        made.add_column(name, justify="right" if name in ("ours", "theirs", "ratio") else "left")
    for row in rows:
        made.add_row(
            row.work,
            f"{spread(Figures(tuple(row.ours)))} {row.unit}",
            row.peer,
            f"{spread(Figures(tuple(row.theirs)))} {row.unit}" if row.theirs else "",
            spread(row.ratio) if row.ratio else "",
            str(row.goal) if row.goal else "",
            f"[{_STYLES[row.verdict]}]{row.verdict}[/]" if row.verdict else "",
            row.note,
        )
    return made


def as_json(rows: Sequence[Row], about: Mapping[str, Any]) -> str:
    return json.dumps({"about": about, "rows": [_row_object(row) for row in rows]}, indent=1)


def _row_object(row: Row) -> dict[str, Any]:
    judged = row.judged
    return {
        "work": row.work,
        "unit": row.unit,
        "ours": list(row.ours),
        "peer": row.peer,
        "theirs": list(row.theirs),
        "ratio": row.ratio.median if row.ratio else None,
        "spread": list(judged.spread),
        "goal": {"relation": row.goal.relation, "bound": row.goal.bound} if row.goal else None,
        "verdict": row.verdict.value,
        "note": row.note,
    }


_LEFT, _WIDTH, _LINE = 360, 420, 24


def plot(rows: Sequence[Row], title: str) -> str:
    """An SVG: for each row with a goal how far it is from it; the line in the middle is the goal, and what is
    right of it meets the goal, whichever way the ratio goes."""
    judged = [row for row in rows if row.goal is not None]
    height = 70 + _LINE * len(judged)
    goal_at = _LEFT + _WIDTH / 2
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + 170}" height="{height}" '
        'font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="16" y="26" font-size="16" font-weight="bold">{escape(title)}</text>',
    ]
    for place, row in enumerate(judged):
        assert row.goal is not None
        y = 48 + _LINE * place
        end = _LEFT + _WIDTH * _merit(row)
        start, width = min(end, goal_at), abs(end - goal_at)
        name = f"{row.work} / {row.peer}" if row.peer else row.work
        label = f"{number(row.judged.median)} {'' if row.ratio else row.unit} (goal {row.goal})"
        lines += [
            f'<text x="{_LEFT - 10}" y="{y + 14}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{start:.1f}" y="{y + 2}" width="{max(width, 2):.1f}" height="{_LINE - 8}" '
            f'fill="{_COLOURS[row.verdict]}"/>',
            f'<text x="{_LEFT + _WIDTH + 8}" y="{y + 14}">{escape(label)}</text>',
        ]
    lines += [
        f'<line x1="{goal_at}" y1="40" x2="{goal_at}" y2="{height - 18}" stroke="black"/>',
        f'<text x="{goal_at}" y="{height - 4}" text-anchor="middle">goal</text>',
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _merit(row: Row) -> float:
    """0 to 1; one half is the goal itself, the ends are half of it and twice as good."""
    assert row.goal is not None
    value = row.judged.median
    better = value / row.goal.bound if row.goal.relation == ">=" else row.goal.bound / value
    return min(1.0, better / 2) if better < 1 else min(1.0, 0.5 + (1 - 1 / better))


def write(folder: Path, rows: Sequence[Row], about: Mapping[str, Any], text: str, title: str) -> None:
    """table.txt, results.json and plot.svg in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.txt").write_text(text, encoding="utf-8")
    (folder / "results.json").write_text(as_json(rows, about), encoding="utf-8")
    (folder / "plot.svg").write_text(plot(rows, title), encoding="utf-8")

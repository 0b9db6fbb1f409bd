"""Findings as a table, JSON and a plot."""

from __future__ import annotations

import io
import json
import math
from xml.etree import ElementTree

from rich.console import Console

from services.consensus.evaluation.check import Counts, Finding
from services.consensus.evaluation.population import Population
from services.consensus.evaluation.prediction import Chances
from services.consensus.evaluation.report import as_json, plot, table

GOOD = Finding("a <b>", Population(0.7, 0.1, 0.6), Chances(0.5, 0.4), Counts(100, 52, 41, 333, 100))
AGAIN = Finding(
    "other",
    Population(0.4, 0.1, 1.0, loss=0.15),
    Chances(0.5, 0.4),
    Counts(100, 80, 10, 333, 100),
    Counts(100, 50, 40, 333, 100),
)
IMPOSSIBLE = Finding(
    "other", Population(1.0), Chances(1.0, 0.0), Counts(10, 9, 1, 30, 10), Counts(10, 9, 1, 30, 10)
)
ALL = [GOOD, AGAIN, IMPOSSIBLE]


def test_the_table_shows_what_is_off_and_what_was_measured_again() -> None:
    text = io.StringIO()
    Console(file=text, width=150).print(table(ALL, "title"))
    good, again, off = (line for line in text.getvalue().splitlines() if line.startswith("│"))
    for figure in ("none", "0.7", "52.0", "50.0", "41.0", "40.0", "3.3", "0.4"):
        assert f" {figure} " in good
    assert "losses" in again
    assert "6.6 / 0.0" in again
    assert "OFF" in off
    assert "OFF" not in good + again


def test_json_is_json_whatever_was_found() -> None:
    found = json.loads(as_json(ALL, {"seed": 1}), parse_constant=lambda name: 1 / 0)
    assert found["about"] == {"seed": 1}
    assert [row["holds"] for row in found["rows"]] == [True, True, False]
    assert IMPOSSIBLE.deviation == math.inf
    assert found["rows"][0]["population"]["accuracy"] == 0.7
    assert found["rows"][1]["again"]["right"] == 50


def test_the_plot_has_a_dot_for_each_finding_where_it_belongs() -> None:
    root = ElementTree.fromstring(plot(ALL, "a < b"))
    dots = list(root.iter("{http://www.w3.org/2000/svg}circle"))
    assert len(dots) == len(ALL)
    frames = {
        (float(each.get("x") or 0), float(each.get("y") or 0), float(each.get("width") or 0))
        for each in root.iter("{http://www.w3.org/2000/svg}rect")
        if each.get("fill") == "none"
    }
    places = {(float(dot.get("cx") or 0), float(dot.get("cy") or 0)) for dot in dots}
    # The first: accuracy 0.7 and 52 % right, in some panel.
    assert any((round(x + 0.7 * w, 1), round(y + 0.48 * w, 1)) in places for x, y, w in frames)

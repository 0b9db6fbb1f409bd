"""The table as JSON, text and plot."""

from __future__ import annotations

import io
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from tests.bench import report
from tests.bench.stats import Figures, Row, at_least, at_most

ROWS = [
    Row("single stream", "tok/s", [30.0, 31.0], "llama-server", [30.0, 30.0], at_least(1.0)),
    Row("a token <&>", "ms", [0.7], goal=at_most(0.5)),
    Row("cold", "s", [1.0], "llama-server", [2.0]),
]


@pytest.mark.parametrize(
    ("value", "text"), [(12345.6, "12,346"), (123.4, "123"), (1.2345, "1.23"), (0.01234, "0.0123")]
)
def test_numbers_have_three_digits_that_mean_something(value: float, text: str) -> None:
    assert report.number(value) == text


def test_a_spread_of_one_round_is_one_number() -> None:
    assert report.spread(Figures((2.0,))) == "2"
    assert report.spread(Figures((1.0, 2.0, 4.0))) == "2 (1-4)"


def test_json_holds_every_round_and_the_verdict() -> None:
    found = json.loads(report.as_json(ROWS, {"form": "quick"}))
    first, second, third = found["rows"]
    assert found["about"] == {"form": "quick"}
    assert first["ours"] == [30.0, 31.0]
    assert first["ratio"] == pytest.approx((1 + 31 / 30) / 2)
    assert (first["verdict"], second["verdict"], third["verdict"]) == ("met", "missed", "")
    assert second["ratio"] is None


def test_the_plot_is_svg_with_a_bar_for_each_goal() -> None:
    root = ElementTree.fromstring(report.plot(ROWS, "a < b"))
    bars = [each for each in root.iter("{http://www.w3.org/2000/svg}rect") if each.get("fill") != "white"]
    better, worse = bars
    middle = float(next(root.iter("{http://www.w3.org/2000/svg}line")).get("x1") or 0)
    assert float(better.get("x") or 0) == pytest.approx(middle)
    assert float(worse.get("x") or 0) < middle


def test_all_three_forms_are_written(tmp_path: Path) -> None:
    text = io.StringIO()
    Console(file=text, width=150).print(report.table(ROWS, "title"))
    report.write(tmp_path / "run", ROWS, {}, text.getvalue(), "title")
    assert "single stream" in (tmp_path / "run" / "table.txt").read_text()
    assert {each.name for each in (tmp_path / "run").iterdir()} == {"table.txt", "results.json", "plot.svg"}

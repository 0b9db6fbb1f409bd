"""The built-in model, run for real over its four sets."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT

# `make eval-model` holds to these exactly. Here a hundredth less passes: greedy answers can differ by an item
# or two between processors, whose kernels round differently.
BARS = {"known": 0.97, "phrasings": 0.85, "tools": 0.75, "answers": 0.92}
SLACK = 0.01
LEAST_ITEMS = 300


@pytest.mark.timeout(900)
def test_it_does_what_the_readme_says(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    result = subprocess.run(
        [sys.executable, "-m", "deploy.built_in_model.evaluate", "--json", str(report)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert report.exists(), result.stderr
    summary = json.loads(report.read_text())
    missed = {
        name: summary["shares"][name] for name, bar in BARS.items() if summary["shares"][name] < bar - SLACK
    }
    assert missed == {}, result.stdout
    for name in BARS:
        assert sum(outcome["set"] == name for outcome in summary["outcomes"]) >= LEAST_ITEMS

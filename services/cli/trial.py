"""Where `swarm eval` finds what it needs in a running swarm."""

from __future__ import annotations

from pathlib import Path

from services.cli.processes import ROOT
from services.cli.state import SwarmState

SETS = ROOT / "deploy" / "built_in_model" / "sets"
# Requests written by hand stand in a form of their own.
_ITEMS = ("known", "phrasings", "tools", "answers")


def trial_of(home: Path, running: SwarmState | None) -> list[str]:
    """The options for it; what the user gives comes after them and counts. `running` None: no swarm is up."""
    options = ["--out", str(home / "evaluations")]
    options += ["--items", *(str(SETS / f"{name}.jsonl") for name in _ITEMS)]
    for option, service in (("--worker", "worker"), ("--tool-server", "tool_server")):
        found = running.services.get(service) if running else None
        if found is not None:
            options += [option, found.address]
    return options

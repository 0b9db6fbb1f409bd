"""The process list of the box and the environment that each process gets."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from services.cli import processes
from services.common.settings import Settings, load


def test_every_process_of_the_list_can_be_run() -> None:
    listed = processes.load()
    assert [each.name for each in listed] == ["discovery", "tool_server", "worker", "consensus", "gateway"]
    for each in listed:
        assert importlib.util.find_spec(f"{each.module}.__main__") is not None
        assert Settings().address(each.address)


def test_what_the_user_set_stands_above_the_list(tmp_path: Path) -> None:
    worker = next(each for each in processes.load() if each.name == "worker")
    settings = Settings(home=tmp_path, port=4000)
    assert worker.variables(settings, {})["OMP_WAIT_POLICY"] == "passive"
    assert worker.variables(settings, {"OMP_WAIT_POLICY": "active"})["OMP_WAIT_POLICY"] == "active"
    # A stale variable of the caller does not change the settings that were decided on.
    environment = worker.variables(settings, {"SWARM_PORT": "1"})
    assert load(environ=environment).settings == settings

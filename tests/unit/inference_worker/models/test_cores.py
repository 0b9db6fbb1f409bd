"""Threads for the engine: what the machine has, what the process may use, what the container gets."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from services.inference_worker.models import cores


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight physical cores with two threads each."""
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: 16 if logical else 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(None, 8), ("max 100000", 8), ("350000 100000", 3), ("50000 100000", 1), ("nonsense", 8)],
)
def test_the_containers_share_bounds_it(tmp_path: Path, limit: str | None, expected: int) -> None:
    if limit is not None:
        (tmp_path / "cpu.max").write_text(f"{limit}\n")
    assert cores.usable(tmp_path) == expected


def test_a_process_bound_to_some_cores_uses_those(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)
    assert cores.usable(tmp_path) == 2


def test_hyperthreads_are_no_cores_but_may_run(tmp_path: Path) -> None:
    assert (cores.usable(tmp_path), cores.allowed(tmp_path)) == (8, 16)
    (tmp_path / "cpu.max").write_text("1200000 100000\n")
    assert (cores.usable(tmp_path), cores.allowed(tmp_path)) == (8, 12)

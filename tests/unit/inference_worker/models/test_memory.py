"""Free memory: the machine's or the control group's, whichever is less."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from services.inference_worker.models import memory

MIB = 1 << 20


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    class Virtual:
        available = 8192 * MIB

    monkeypatch.setattr(psutil, "virtual_memory", lambda: Virtual)


def write(root: Path, **files: object) -> None:
    for name, content in files.items():
        (root / name.replace("__", ".")).write_text(f"{content}\n")


def test_without_a_control_group_it_is_the_machines(tmp_path: Path) -> None:
    assert memory.available(tmp_path) == memory.Memory(8192 * MIB, "free RAM")


def test_an_unlimited_group_changes_nothing(tmp_path: Path) -> None:
    write(tmp_path, memory__max="max", memory__current=100 * MIB)
    assert memory.available(tmp_path).bytes == 8192 * MIB


def test_a_limit_counts_and_the_page_cache_is_given_back(tmp_path: Path) -> None:
    write(
        tmp_path,
        memory__max=2048 * MIB,
        memory__current=1024 * MIB,
        memory__stat=f"anon 1\nactive_file 5\ninactive_file {512 * MIB}",
    )
    assert memory.available(tmp_path) == memory.Memory(1536 * MIB, "the container's memory limit")


def test_a_limit_above_the_machine_does_not_count(tmp_path: Path) -> None:
    write(tmp_path, memory__max=9000 * MIB * 1024, memory__current=0)
    assert memory.available(tmp_path).source == "free RAM"


def test_the_first_version_of_control_groups(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    write(
        tmp_path / "memory",
        memory__limit_in_bytes=1000 * MIB,
        memory__usage_in_bytes=900 * MIB,
        memory__stat=f"total_inactive_file {100 * MIB}",
    )
    assert memory.available(tmp_path).bytes == 200 * MIB


def test_a_group_that_is_over_its_limit_has_nothing_left(tmp_path: Path) -> None:
    write(tmp_path, memory__max=100, memory__current=200)
    assert memory.available(tmp_path).bytes == 0

"""What decides how llama.cpp is built, and how the lock is read."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from services.cli import bootstrap
from services.cli.bootstrap import (
    ROOT,
    Machine,
    Setup,
    SetupError,
    accelerator,
    cmake_flags,
    engine_key,
    split_lock,
)

PLAIN = Machine(system="Linux", architecture="x86_64", cpu="abc", compiler="/usr/bin/c++")


@pytest.mark.parametrize(
    ("machine", "name"),
    [
        (PLAIN, "the processor"),
        (replace(PLAIN, nvcc=True), "the processor"),
        (replace(PLAIN, nvidia_device=True), "the processor"),
        (replace(PLAIN, nvcc=True, nvidia_device=True), "CUDA"),
        (replace(PLAIN, hipcc=True, amd_device=True), "HIP"),
        (replace(PLAIN, glslc=True, render_device=True), "Vulkan"),
        (replace(PLAIN, nvcc=True, nvidia_device=True, glslc=True, render_device=True), "CUDA"),
        (replace(PLAIN, system="Darwin", architecture="arm64"), "Metal"),
        (replace(PLAIN, system="Darwin"), "the processor"),
    ],
)
def test_one_accelerator_when_compiler_and_device_are_here(machine: Machine, name: str) -> None:
    flags = cmake_flags(machine)
    assert accelerator(flags) == name
    assert "-DGGML_NATIVE=ON" in flags
    assert sum(flag.split("=")[0] in ("-DGGML_CUDA", "-DGGML_HIP", "-DGGML_VULKAN") for flag in flags) <= 1


def test_builds_for_different_machines_have_different_keys() -> None:
    keys = {
        engine_key("llama-cpp-python==1", cmake_flags(PLAIN), PLAIN),
        engine_key("llama-cpp-python==2", cmake_flags(PLAIN), PLAIN),
        engine_key("llama-cpp-python==1", [], PLAIN),
        engine_key("llama-cpp-python==1", cmake_flags(PLAIN), replace(PLAIN, cpu="other")),
    }
    assert len(keys) == 4


def test_the_lock_is_split_with_its_hashes() -> None:
    lock = (
        "a==1 \\\n    --hash=sha256:1\n"
        "llama-cpp-python==3 \\\n    --hash=sha256:2\n"
        "z==2 \\\n    --hash=sha256:3\n"
    )
    packages, engine = split_lock(lock)
    assert engine == "llama-cpp-python==3 \\\n    --hash=sha256:2\n"
    assert packages == "a==1 \\\n    --hash=sha256:1\nz==2 \\\n    --hash=sha256:3\n"


def test_a_lock_without_the_engine_is_refused() -> None:
    with pytest.raises(SetupError, match="llama-cpp-python"):
        split_lock("a==1\n")


@pytest.mark.parametrize("path", ["requirements.lock", "tests/requirements.lock"])
def test_the_locks_hold_hashes_and_no_addresses(path: str) -> None:
    text = (ROOT / path).read_text()
    assert "--hash=sha256:" in text
    assert "://" not in text
    entries = [line for line in text.splitlines() if line and not line.startswith(" ")]
    assert all("==" in line for line in entries)
    assert text.count("--hash") >= len(entries)


@pytest.fixture
def venv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A whole environment, as far as the set-up looks."""
    folder = tmp_path / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder)], check=True)
    (folder / "bin" / "pip").touch()
    monkeypatch.setattr(bootstrap, "VENV", folder)
    monkeypatch.setattr(bootstrap, "LOCK", tmp_path / ".venv.lock")
    return folder


def test_a_whole_environment_is_kept(venv: Path) -> None:
    assert Setup(dev=False)._has_environment()


@pytest.mark.parametrize("what", ["interrupted before pip", "another Python", "moved", "none"])
def test_any_other_environment_is_made_anew(
    venv: Path, what: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = venv / "pyvenv.cfg"
    match what:
        case "interrupted before pip":
            (venv / "bin" / "pip").unlink()
        case "another Python":
            version = f"version = {sys.version_info.major}.{sys.version_info.minor}."
            config.write_text(config.read_text().replace(version, "version = 3.1."))
        case "moved":
            monkeypatch.setattr(bootstrap, "VENV", venv.rename(tmp_path / "elsewhere"))
        case _:
            config.unlink()
    assert not Setup(dev=False)._has_environment()


def test_of_two_set_ups_one_waits(venv: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entered = threading.Event()

    def second() -> None:
        with Setup(dev=False)._alone():
            entered.set()

    with Setup(dev=False)._alone():
        other = threading.Thread(target=second)
        other.start()
        assert not entered.wait(0.3)
    assert entered.wait(10)
    other.join()
    assert "being set up already" in capsys.readouterr().out

"""What decides how llama.cpp is built, and how the lock is read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.cli.bootstrap import (
    ROOT,
    Machine,
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

"""Sets the project up in .venv: run by make with the system's Python, standard library only.

The way: environment -> locked packages -> llama-cpp-python built for this machine -> the project itself.
Each step is skipped when its stamp says that it has been done with the same inputs.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
LOCK = ROOT / ".venv.lock"
ENGINE = "llama-cpp-python"
OLDEST_PYTHON = (3, 11)
NINJA_STEP = re.compile(r"\[(\d+)/(\d+)\]")
# Enough to tell which instruction sets a native build will use.
CPU_FLAGS = re.compile(r"^(?:flags|Features)\s*:\s*(.*)$", re.MULTILINE)


class SetupError(Exception):
    """What went wrong and what the user can do about it."""


@dataclass(frozen=True)
class Machine:
    """What decides how llama.cpp is built. `cpu` is a fingerprint of the instruction sets."""

    system: str
    architecture: str
    cpu: str
    compiler: str | None
    nvcc: bool = False
    nvidia_device: bool = False
    hipcc: bool = False
    amd_device: bool = False
    glslc: bool = False
    render_device: bool = False


def look_at_machine() -> Machine:
    try:
        found = CPU_FLAGS.search(Path("/proc/cpuinfo").read_text(encoding="utf-8"))
        cpu = found.group(1) if found else platform.processor()
    except OSError:
        cpu = platform.processor()
    compilers = (os.environ.get("CXX", ""), "c++", "g++", "clang++")
    return Machine(
        system=platform.system(),
        architecture=platform.machine(),
        cpu=hashlib.sha256(cpu.encode()).hexdigest()[:16],
        compiler=next((path for name in compilers if name and (path := shutil.which(name))), None),
        nvcc=shutil.which("nvcc") is not None,
        nvidia_device=Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi") is not None,
        hipcc=shutil.which("hipcc") is not None,
        amd_device=Path("/dev/kfd").exists(),
        glslc=shutil.which("glslc") is not None,
        render_device=any(Path("/dev/dri").glob("renderD*")),
    )


def cmake_flags(machine: Machine) -> list[str]:
    """The CMake flags that fit the machine: one accelerator, if its compiler and its device are both here."""
    flags = ["-DGGML_NATIVE=ON", "-DLLAVA_BUILD=OFF"]
    if machine.system == "Darwin" and machine.architecture == "arm64":
        return [*flags, "-DGGML_METAL=ON"]
    if machine.nvcc and machine.nvidia_device:
        return [*flags, "-DGGML_CUDA=ON"]
    if machine.hipcc and machine.amd_device:
        return [*flags, "-DGGML_HIP=ON"]
    if machine.glslc and machine.render_device:
        return [*flags, "-DGGML_VULKAN=ON"]
    return flags


def accelerator(flags: Sequence[str]) -> str:
    names = {"METAL": "Metal", "CUDA": "CUDA", "HIP": "HIP", "VULKAN": "Vulkan"}
    for flag in flags:
        for key, name in names.items():
            if flag == f"-DGGML_{key}=ON":
                return name
    return "the processor"


def split_lock(text: str) -> tuple[str, str]:
    """The lock as (everything but the engine, the engine alone), both with their hashes."""
    entries: list[str] = []
    for line in text.splitlines():
        if line and not line.startswith((" ", "#")):
            entries.append(line)
        elif entries and line.startswith(" ") and not line.strip().startswith("#"):
            entries[-1] += "\n" + line
    engine = [entry for entry in entries if entry.startswith(ENGINE + "==")]
    if len(engine) != 1:
        raise SetupError(f"requirements.lock: expected one entry for {ENGINE}, found {len(engine)}")
    return "\n".join(entry for entry in entries if entry not in engine) + "\n", engine[0] + "\n"


def engine_key(engine: str, flags: Sequence[str], machine: Machine) -> str:
    """Names the builds of the engine that are interchangeable."""
    parts = (engine, *flags, machine.system, machine.architecture, machine.cpu)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


class Reporter:
    """Says what is being done: a moving line on a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        self._moving = sys.stdout.isatty()
        self._last = 0.0

    def say(self, text: str) -> None:
        print(text, flush=True)

    def progress(self, text: str, *, every: float = 20.0) -> None:
        now = time.monotonic()
        if self._moving:
            print(f"\r\033[K{text}", end="", flush=True)
        elif now - self._last >= every:
            print(text, flush=True)
            self._last = now

    def end_progress(self) -> None:
        if self._moving:
            print(flush=True)


def state_folder(environ: Mapping[str, str]) -> Path:
    if home := environ.get("SWARM_HOME"):
        return Path(home).expanduser().resolve()
    base = environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "local-swarm"


def cache_folder(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "local-swarm"


class Setup:
    """The steps. `stamps` in .venv/swarm-setup.json hold each finished step's inputs."""

    def __init__(self, *, dev: bool) -> None:
        self.dev = dev
        self.report = Reporter()
        self.python = VENV / "bin" / "python"
        self.stamp_file = VENV / "swarm-setup.json"
        self.logs = state_folder(os.environ) / "logs"

    def run(self) -> None:
        if sys.version_info[:2] < OLDEST_PYTHON:
            raise SetupError(
                f"Python {platform.python_version()} is too old: at least 3.11 is needed. "
                "Name another one with `make PYTHON=python3.12 …`."
            )
        with self._alone():
            self._steps()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Of two `make up` at once on a fresh checkout, one waits for the other's environment."""
        with LOCK.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.report.say("This checkout is being set up already; waiting for it")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _steps(self) -> None:
        self._environment()
        packages, engine = split_lock((ROOT / "requirements.lock").read_text(encoding="utf-8"))
        dev_lock = (ROOT / "tests" / "requirements.lock").read_text(encoding="utf-8")
        self._step("packages", packages, lambda: self._install("packages", packages))
        machine = look_at_machine()
        # The user's own flags come last, so that they win.
        flags = [*cmake_flags(machine), *os.environ.get("CMAKE_ARGS", "").split()]
        key = engine_key(engine, flags, machine)
        self._step("engine", key, lambda: self._engine(engine, flags, machine, key))
        if self.dev:
            self._step("dev", dev_lock, lambda: self._install("test tools", dev_lock))
        self._step("project", self._project_inputs(), self._project)

    def _environment(self) -> None:
        if self._has_environment():
            return
        self.report.say(f"Making the environment .venv with Python {platform.python_version()}")
        result = subprocess.run(
            [sys.executable, "-m", "venv", "--clear", str(VENV)], capture_output=True, text=True, check=False
        )
        if result.returncode != 0:
            raise SetupError(
                "python -m venv failed; on Debian and Ubuntu it needs `apt install python3-venv`.\n"
                + (result.stderr or result.stdout).strip()
            )

    def _has_environment(self) -> bool:
        """Whether .venv is whole, of this Python version and made at this place: scripts name their path.

        pip comes last: without it the making was interrupted, or `ensurepip` is missing.
        """
        try:
            config = (VENV / "pyvenv.cfg").read_text()
        except OSError:
            return False
        version = f"version = {sys.version_info.major}.{sys.version_info.minor}."
        whole = self.python.exists() and (VENV / "bin" / "pip").exists()
        return whole and version in config and f"{VENV}\n" in config

    def _step(self, name: str, inputs: str, action: Callable[[], None]) -> None:
        stamps = self._stamps()
        digest = hashlib.sha256(inputs.encode()).hexdigest()
        if stamps.get(name) == digest:
            return
        action()
        stamps[name] = digest
        temporary = self.stamp_file.with_suffix(".tmp")
        temporary.write_text(json.dumps(stamps))
        temporary.replace(self.stamp_file)

    def _stamps(self) -> dict[str, str]:
        try:
            stamps = json.loads(self.stamp_file.read_text())
        except (OSError, ValueError):
            return {}
        return stamps if isinstance(stamps, dict) else {}

    def _install(self, what: str, lock: str) -> None:
        self.report.say(f"Installing {what} (versions and hashes are locked)")
        file = VENV / "swarm-requirements.txt"
        file.write_text(lock)
        self._logged(
            f"install-{what.replace(' ', '-')}",
            [*self._pip("install"), "--no-deps", "--require-hashes", "--only-binary=:all:", "-r", str(file)],
            lambda line: self.report.progress(f"  {line.strip()[:90]}") if "Collecting" in line else None,
        )

    def _engine(self, engine: str, flags: Sequence[str], machine: Machine, key: str) -> None:
        """Installs llama-cpp-python from the cache of finished builds, or compiles it."""
        folder = cache_folder(os.environ) / "engine" / key
        wheels = sorted(folder.glob("*.whl"))
        if wheels:
            self.report.say(f"Using the finished build of the inference engine in {folder}")
        else:
            self._compile(engine, flags, machine, folder)
            wheels = sorted(folder.glob("*.whl"))
        self._logged(
            "install-engine",
            [*self._pip("install"), "--no-deps", "--no-index", "--force-reinstall", str(wheels[-1])],
        )

    def _compile(self, engine: str, flags: Sequence[str], machine: Machine, folder: Path) -> None:
        if machine.compiler is None:
            raise SetupError(
                "No C++ compiler was found, and the inference engine is compiled for this machine.\n"
                "Debian/Ubuntu: apt install g++   Fedora: dnf install gcc-c++   Arch: pacman -S gcc   "
                "macOS: xcode-select --install"
            )
        started = time.monotonic()
        self.report.say(
            f"Compiling the inference engine for {accelerator(flags)} with {machine.compiler}: once, "
            "about six minutes on two cores"
        )
        requirement = VENV / "swarm-engine.txt"
        requirement.write_text(engine)
        building = folder.with_name(folder.name + f".building-{os.getpid()}")
        shutil.rmtree(building, ignore_errors=True)

        def show(line: str) -> None:
            if step := NINJA_STEP.search(line):
                done, total = int(step.group(1)), int(step.group(2))
                spent = time.monotonic() - started
                self.report.progress(
                    f"  {100 * done // total:3d} %  step {done} of {total}, {spent:.0f} s so far"
                )

        environment = dict(os.environ)
        environment["CMAKE_ARGS"] = " ".join(flags)
        environment["PATH"] = f"{VENV / 'bin'}{os.pathsep}{environment.get('PATH', '')}"
        environment.setdefault("CMAKE_GENERATOR", "Ninja")
        try:
            self._logged(
                "build-engine",
                [
                    *self._pip("wheel"),
                    "-v",
                    "--no-deps",
                    "--no-build-isolation",
                    "--no-cache-dir",
                    "--require-hashes",
                    "-w",
                    str(building),
                    "-r",
                    str(requirement),
                ],
                show,
                environment,
            )
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)
        building.replace(folder)
        self.report.say(f"Compiled in {time.monotonic() - started:.0f} s")

    def _project_inputs(self) -> str:
        files = [ROOT / "pyproject.toml", *sorted((ROOT / "protos").rglob("*.p[yr]*"))]
        texts = [p.read_text(encoding="utf-8") for p in files if "gen" not in p.relative_to(ROOT).parts]
        return "\0".join([str(ROOT), *texts])

    def _project(self) -> None:
        self.report.say("Installing the project and generating its contracts' code")
        self._logged(
            "install-project",
            [*self._pip("install"), "--no-deps", "--no-build-isolation", "--no-index", "-e", str(ROOT)],
        )

    def _pip(self, verb: str) -> list[str]:
        return [str(self.python), "-m", "pip", verb, "--disable-pip-version-check", "--no-input"]

    def _logged(
        self,
        name: str,
        command: Sequence[str],
        show: Callable[[str], None] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Runs `command` with its output in <state>/logs/<name>.log; raises SetupError with the log's end."""
        self.logs.mkdir(parents=True, exist_ok=True)
        path = self.logs / f"{name}.log"
        tail: list[str] = []
        with path.open("w", encoding="utf-8") as log:
            process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env=environment,
            )
            assert process.stdout is not None
            for line in process.stdout:
                log.write(line)
                log.flush()
                tail = [*tail[-14:], line]
                if show is not None:
                    show(line)
            status = process.wait()
        if show is not None:
            self.report.end_progress()
        if status != 0:
            raise SetupError(f"{name} failed (status {status}); the whole log is {path}\n{''.join(tail)}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dev", action="store_true", help="also what the tests need")
    try:
        Setup(dev=parser.parse_args().dev).run()
    except (SetupError, OSError) as error:
        print(f"\nsetup: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nsetup: interrupted; run it again to go on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Builds llama-server and llama-bench from the sources that our own engine is built from, with its flags.

The sources are those inside the locked source package of the binding, fetched by pip with the locked hash.
The programs lie in the cache beside the engine's builds, named by all that went into them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from services.cli import locks
from services.cli.bootstrap import (
    NINJA_STEP,
    ROOT,
    Reporter,
    cache_folder,
    cmake_flags,
    engine_key,
    look_at_machine,
    split_lock,
)
from tests.bench.client import BenchError

# Programs that are built already: a folder that holds them.
VARIABLE = "SWARM_BENCH_PEERS"
PROGRAMS = ("llama-server", "llama-bench")
# What the programs need beside the engine's flags: nothing of the web, found wherever the folder lies.
_PROGRAM_FLAGS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DCMAKE_BUILD_RPATH_USE_ORIGIN=ON",
    "-DBUILD_SHARED_LIBS=ON",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",
    "-DLLAMA_CURL=OFF",
    "-DLLAMA_OPENSSL=OFF",
)


def get(environ: Mapping[str, str], report: Reporter) -> Path:
    """The folder of the programs, built if they are not there. Raises BenchError."""
    if given := environ.get(VARIABLE):
        _check(Path(given))
        return Path(given).resolve()
    _, engine = split_lock((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    machine = look_at_machine()
    flags = [*cmake_flags(machine), *environ.get("CMAKE_ARGS", "").split(), *_PROGRAM_FLAGS]
    folder = cache_folder(environ) / "peers" / engine_key(engine, flags, machine)
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locks.turn(folder.with_suffix(".lock"), lambda: report.say("The peers are being built already")):
            if not folder.exists():
                _Build(folder.with_suffix(".building"), report).run(engine, flags, folder)
    _check(folder)
    return folder


def _check(folder: Path) -> None:
    for name in PROGRAMS:
        if not (folder / name).is_file():
            raise BenchError(f"{folder / name} is missing; remove the folder, or unset {VARIABLE}")


class _Build:
    """One build in `work`, which is kept when it breaks off: the next run goes on there."""

    def __init__(self, work: Path, report: Reporter) -> None:
        self._work = work
        self._report = report
        self._started = time.monotonic()

    def run(self, engine: str, flags: Sequence[str], folder: Path) -> None:
        self._report.say("Building llama-server and llama-bench: once, about fifteen minutes on two cores")
        self._work.mkdir(parents=True, exist_ok=True)
        source = self._sources(engine)
        build = self._work / "build"
        self._logged(
            "configure",
            ["cmake", "-G", "Ninja", "-S", str(source), "-B", str(build), *flags],
        )
        self._logged("build", ["cmake", "--build", str(build), "--target", *PROGRAMS], self._step)
        finished = self._work / "finished"
        shutil.rmtree(finished, ignore_errors=True)
        shutil.copytree(build / "bin", finished, symlinks=True)
        finished.replace(folder)
        shutil.rmtree(self._work)
        self._report.say(f"Built in {time.monotonic() - self._started:.0f} s: {folder}")

    def _sources(self, engine: str) -> Path:
        """llama.cpp's tree out of the binding's source package."""
        unpacked = self._work / "source"
        if not unpacked.exists():
            requirement = self._work / "requirement.txt"
            requirement.write_text(engine, encoding="utf-8")
            self._logged(
                "fetch",
                [
                    *(sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input"),
                    *("--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--require-hashes"),
                    *("--dest", str(self._work), "-r", str(requirement)),
                ],
            )
            archives = sorted(self._work.glob("*.tar.gz"))
            if len(archives) != 1:
                raise BenchError(f"expected one source package in {self._work}, found {len(archives)}")
            partial = self._work / "source.part"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            self._logged("unpack", ["tar", "-xzf", str(archives[0]), "-C", str(partial)])
            partial.replace(unpacked)
        (tree,) = unpacked.glob("*/vendor/llama.cpp")
        return tree

    def _step(self, line: str) -> None:
        if step := NINJA_STEP.search(line):
            done, total = int(step.group(1)), int(step.group(2))
            spent = time.monotonic() - self._started
            self._report.progress(
                f"  {100 * done // total:3d} %  step {done} of {total}, {spent:.0f} s so far"
            )

    def _logged(self, name: str, command: Sequence[str], show: Callable[[str], None] | None = None) -> None:
        """Runs `command` with its output in <work>/<name>.log. Raises BenchError with the log's end."""
        path = self._work / f"{name}.log"
        bin_folder = str(Path(sys.executable).parent)
        environment = {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ.get('PATH', '')}"}
        tail: list[str] = []
        with (
            path.open("w", encoding="utf-8") as log,
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env=environment,
            ) as process,
        ):
            assert process.stdout is not None
            for line in process.stdout:
                log.write(line)
                tail = [*tail[-14:], line]
                if show is not None:
                    show(line)
            status = process.wait()
        if show is not None:
            self._report.end_progress()
        if status != 0:
            raise BenchError(f"{name} of the peers failed (status {status}); log: {path}\n{''.join(tail)}")

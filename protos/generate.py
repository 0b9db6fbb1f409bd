"""Builds the Python code of the contracts from the .proto files into protos/gen (not committed)."""

from __future__ import annotations

import shutil
import sys
from importlib import resources
from pathlib import Path

PROTOS = Path(__file__).resolve().parent
OUTPUT = PROTOS / "gen"


def generate(output: Path = OUTPUT) -> list[Path]:
    """Writes *_pb2.py, *_pb2_grpc.py and their stubs, and returns the files written.

    Raises RuntimeError with protoc's exit status when a .proto file does not compile.
    """
    from grpc_tools import protoc

    sources = sorted(PROTOS.glob("swarm/**/*.proto"))
    fresh = output.with_name(output.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    # The plugins lie beside this Python, which need not be on PATH.
    plugins = [
        f"--plugin=protoc-gen-{name}={Path(sys.executable).with_name('protoc-gen-' + name)}"
        for name in ("mypy", "mypy_grpc")
    ]
    well_known = str(resources.files("grpc_tools") / "_proto")
    status = protoc.main(
        [
            "protoc",
            f"--proto_path={PROTOS}",
            f"--proto_path={well_known}",
            *plugins,
            f"--python_out={fresh}",
            f"--grpc_python_out={fresh}",
            f"--mypy_out=quiet:{fresh}",
            f"--mypy_grpc_out=quiet,only_async:{fresh}",
            *(str(source) for source in sources),
        ]
    )
    if status != 0:
        raise RuntimeError(f"protoc ended with status {status}")
    for folder in {path.parent for path in fresh.glob("swarm/**/*_pb2.py")}:
        while folder != fresh:
            (folder / "__init__.py").touch()
            (folder / "py.typed").touch()
            folder = folder.parent
    shutil.rmtree(output, ignore_errors=True)
    fresh.replace(output)
    return sorted(path for path in output.rglob("*") if path.is_file())


if __name__ == "__main__":
    written = generate()
    sys.stdout.write(f"{len(written)} files in {OUTPUT}\n")

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
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    well_known = str(resources.files("grpc_tools") / "_proto")
    status = protoc.main(
        [
            "protoc",
            f"--proto_path={PROTOS}",
            f"--proto_path={well_known}",
            f"--python_out={output}",
            f"--grpc_python_out={output}",
            f"--mypy_out=quiet:{output}",
            f"--mypy_grpc_out=quiet,only_async:{output}",
            *(str(source) for source in sources),
        ]
    )
    if status != 0:
        raise RuntimeError(f"protoc ended with status {status}")
    for folder in {path.parent for path in output.glob("swarm/**/*_pb2.py")}:
        while folder != output:
            (folder / "__init__.py").touch()
            (folder / "py.typed").touch()
            folder = folder.parent
    return sorted(path for path in output.rglob("*") if path.is_file())


if __name__ == "__main__":
    written = generate()
    sys.stdout.write(f"{len(written)} files in {OUTPUT}\n")

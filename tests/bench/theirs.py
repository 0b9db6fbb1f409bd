"""The peers: llama-server and llama-bench, at equal settings and otherwise as they come."""

from __future__ import annotations

import asyncio
import json
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

import psutil

from services.cli import health
from tests.bench.client import BenchError, Endpoint
from tests.bench.ours import free_ports, until
from tests.bench.setting import Setting

_BENCH_PATIENCE = 600.0


class LlamaServer:
    """`with LlamaServer(…) as server` runs it."""

    def __init__(self, folder: Path, setting: Setting, *arguments: str) -> None:
        self.port = free_ports(1)
        self.endpoint = Endpoint("llama-server", self.port, "bench")
        self._log = tempfile.NamedTemporaryFile(prefix="llama-server-", suffix=".log")  # noqa: SIM115
        self._command = [
            str(folder / "llama-server"),
            *("--model", str(setting.model), "--host", "127.0.0.1", "--port", str(self.port)),
            *("--threads", str(setting.threads), "--ctx-size", str(setting.cells)),
            *("--parallel", str(setting.slots), "--kv-unified"),
            *("--flash-attn", "on", "--cache-type-k", "f16", "--cache-type-v", "f16", "--offline"),
            *arguments,
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> LlamaServer:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=subprocess.STDOUT
        )
        try:
            until(self._ready, "llama-server")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._log.close()

    @property
    def process(self) -> psutil.Process:
        assert self._process is not None
        return psutil.Process(self._process.pid)

    def _ready(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise BenchError(
                f"llama-server ended:\n{Path(self._log.name).read_text(errors='replace')[-2000:]}"
            )
        return health.http_json(f"http://127.0.0.1:{self.port}/health")[0] == 200


async def llama_bench(folder: Path, setting: Setting, tokens: int) -> float:
    """Tokens a second of generation alone, without a server. Raises BenchError with its words."""
    process = await asyncio.create_subprocess_exec(
        str(folder / "llama-bench"),
        *("--model", str(setting.model), "--threads", str(setting.threads), "--flash-attn", "on"),
        *("-p", "0", "-n", str(tokens), "-r", "1", "-o", "json"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), _BENCH_PATIENCE)
    if process.returncode != 0:
        raise BenchError(f"llama-bench failed:\n{errors.decode(errors='replace')[-2000:]}")
    return float(json.loads(output)[0]["avg_ts"])

"""The worker process."""

from __future__ import annotations

import os
import sys

# Before llama.cpp is imported, and for a worker that no supervisor has started: as in deploy/processes.toml.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "300000")

from services.common.process import run
from services.common.settings import Settings
from services.inference_worker.service import running

# Python threads hand the interpreter over so often (seconds): the engine's thread must not wait for it long.
_SWITCH_INTERVAL = 0.0005


async def _serve(settings: Settings) -> None:
    async with running(settings) as server:
        await server.run_until_signal()


if __name__ == "__main__":
    sys.setswitchinterval(_SWITCH_INTERVAL)
    run("inference_worker", _serve)

"""Workers come and go without a restart, and a client that leaves takes its work with it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc

from swarm.inference.v1 import inference_pb2, inference_pb2_grpc
from tests.e2e.conftest import ROOT, Swarm, free_port_range, until
from tests.fakes import tiny_gguf

LEASE = 20.0
GONE_WITHIN = 30.0


def model_ids(swarm: Swarm) -> set[str]:
    status, body = swarm.get("/v1/models")
    return {model["id"] for model in body["data"]} if status == 200 else set()


def test_a_new_worker_is_used_and_a_dead_one_is_gone(swarm: Swarm, tmp_path: Path) -> None:
    path = tiny_gguf.write(tmp_path / "newcomer.gguf")
    environment = {
        **swarm.environment,
        "SWARM_MODEL": str(path),
        "SWARM_WORKER_PORT": str(free_port_range(1)),
        "SWARM_THREADS": "1",
    }
    with (tmp_path / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "services.inference_worker"],
            env=environment, cwd=ROOT, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        until(lambda: "newcomer" in model_ids(swarm), 30, "the new worker's model")
        asked = {"model": "newcomer", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}
        status, body = swarm.post("/v1/chat/completions", asked)
        assert status == 200, body
        assert body["usage"]["completion_tokens"] <= 4
    finally:
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
    killed = time.monotonic()
    # Unusable at once, in words, and gone from the list when its lease has run out.
    status, body = swarm.post("/v1/chat/completions", asked)
    assert status in (404, 503), body
    until(lambda: "newcomer" not in model_ids(swarm), GONE_WITHIN, "the end of the dead worker's lease")
    assert time.monotonic() - killed <= GONE_WITHIN
    status, body = swarm.post("/v1/chat/completions", asked)
    assert (status, body["error"]["code"]) == (404, "model_not_found")
    assert swarm.ask("hello", max_tokens=8)[0] == 200


def test_a_client_that_leaves_frees_its_slots_within_half_a_second(own_swarm: Swarm, tmp_path: Path) -> None:
    # Greedy, these random weights never end their turn: only the client's leaving ends this answer.
    endless = tiny_gguf.write(tmp_path / "endless.gguf", context=16_384)
    own_swarm.up("--model", str(endless))
    address = own_swarm.state()["services"]["worker"]["address"]
    body: dict[str, Any] = {
        "model": "local-swarm",
        "messages": [{"role": "user", "content": "x"}],
        "stream": True,
        "n": 4,
        "temperature": 0,
    }
    with grpc.insecure_channel(address) as channel:
        stub = inference_pb2_grpc.InferenceServiceStub(channel)

        def busy() -> int:
            return stub.GetStatus(inference_pb2.GetStatusRequest(), timeout=2).slots_busy

        connection = http.client.HTTPConnection("127.0.0.1", own_swarm.port, timeout=30)
        with closing(connection):
            connection.request(
                "POST", "/v1/chat/completions", json.dumps(body), {"content-type": "application/json"}
            )
            with closing(connection.getresponse()) as response:
                assert response.status == 200
                until(lambda: busy() == 4, 10, "the filling of the slots")
        until(lambda: busy() == 0, 0.5, "the freeing of the slots")

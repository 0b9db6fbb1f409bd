"""What an agent sent once is not computed twice: real OpenCode, a prompt of tens of thousands of tokens.

The model's weights are random and every byte is a token, so its answers are letters; what counts is what
`usage.prompt_tokens_details.cached_tokens` says of the next request of the session.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from swarm.inference.v1 import inference_pb2, inference_pb2_grpc
from tests.e2e.conftest import OpenCode, Swarm, until
from tests.fakes import tiny_gguf
from tests.fakes.recorder import Exchange, Recorder

CONTEXT = 65_536
# Tokens of one answer.
OUTPUT = 24
# Of a next turn's prompt, the part that must come from kept state.
REUSED = 0.95
# OpenCode's system prompt and tools alone; less, and the template has left something out.
SHORTEST_PROMPT = 20_000
# Characters, and tokens: more than the part that may be computed anew.
LONG_MESSAGE = 6_000


@dataclass
class Session:
    """One conversation of OpenCode, and what went over the wire."""

    swarm: Swarm
    opencode: OpenCode
    recorder: Recorder
    model: Path

    def begin(self) -> tuple[Exchange, Exchange]:
        """The first turn, and the title request that ran beside it."""
        main, side = self._say("Tell me about the tide")
        assert main.prompt_tokens > SHORTEST_PROMPT
        assert main.cached_tokens < 0.05 * main.prompt_tokens
        (title,) = side
        assert title.headers["x-session-id"] == main.headers["x-session-id"]
        return main, title

    def goes_on(self, text: str) -> Exchange:
        """One more turn, nearly all of which must be there already."""
        main, _ = self._say(text, "--continue")
        assert main.prompt_tokens > SHORTEST_PROMPT
        share = main.cached_tokens / main.prompt_tokens
        assert share >= REUSED, f"{main.cached_tokens} of {main.prompt_tokens} tokens were reused"
        return main

    def grows(self, text: str) -> Exchange:
        """One more turn with so long a message that the turn before is not enough for the one after."""
        main, _ = self._say(text * (LONG_MESSAGE // len(text)), "--continue")
        return main

    def _say(self, text: str, *options: str) -> tuple[Exchange, list[Exchange]]:
        """The agent's one request of this turn, and the side requests beside it."""
        self.opencode.run(text, *options)
        taken = self.recorder.take()
        (main,) = [each for each in taken if not each.is_side_request]
        return main, [each for each in taken if each.is_side_request]

    def status(self) -> inference_pb2.GetStatusResponse:
        """Of the worker of this moment."""
        with grpc.insecure_channel(self.swarm.state()["services"]["worker"]["address"]) as channel:
            stub = inference_pb2_grpc.InferenceServiceStub(channel)
            answer: inference_pb2.GetStatusResponse = stub.GetStatus(
                inference_pb2.GetStatusRequest(), timeout=5
            )
            return answer


@pytest.fixture
def session(own_swarm: Swarm, tmp_path: Path) -> Iterator[Session]:
    model = tiny_gguf.write(tmp_path / "tiny.gguf", context=CONTEXT)
    config = tmp_path / "opencode.json"
    opencode = OpenCode(tmp_path / "project", tmp_path / "user", config)
    own_swarm.up("--model", str(model))
    with Recorder(own_swarm.port).running() as recorder:
        written = json.loads((own_swarm.home / "opencode.json").read_text())
        provider = written["provider"]["local-swarm"]
        provider["options"]["baseURL"] = recorder.url
        for entry in provider["models"].values():
            entry["limit"]["output"] = OUTPUT
        config.write_text(json.dumps(written))
        yield Session(own_swarm, opencode, recorder, model)


@contextlib.contextmanager
def asked_again_and_again(title: Exchange, recorder: Recorder) -> Iterator[list[int]]:
    """Repeats a title request, each time with other words, while the body runs; yields the statuses."""
    statuses: list[int] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            words = {"role": "user", "content": f"Number {len(statuses)}: " + "what is it called? " * 50}
            messages = [*title.body["messages"][:-1], words]
            statuses.append(recorder.send(title, {**title.body, "messages": messages}))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield statuses
    finally:
        over.set()
        thread.join()


def test_the_next_turn_is_there_already_also_beside_title_requests(session: Session) -> None:
    _, title = session.begin()
    session.goes_on("And the moon")
    with asked_again_and_again(title, session.recorder) as statuses:
        session.goes_on("And the wind")
    assert len(statuses) >= 2
    assert set(statuses) == {200}


def test_a_conversation_outlives_a_killed_worker_and_the_swarm(session: Session) -> None:
    first, _ = session.begin()
    until(lambda: session.status().disk.blocks * 64 >= REUSED * first.prompt_tokens, 30, "the state on disk")
    killed = session.swarm.processes()["worker"]
    os.kill(killed, signal.SIGKILL)
    until(lambda: _worker_is_back(session.swarm, killed), 30, "another worker")
    session.goes_on("And the moon")
    assert session.status().cached_disk_tokens_total > SHORTEST_PROMPT

    longer = session.grows("and the rain ")
    session.swarm.down()
    session.swarm.up("--model", str(session.model))
    assert session.status().cached_tokens_total == 0
    session.goes_on("And the wind")
    assert session.status().cached_disk_tokens_total >= REUSED * longer.prompt_tokens


def _worker_is_back(swarm: Swarm, killed: int) -> bool:
    worker = swarm.state()["services"]["worker"]
    return worker["state"] == "ready" and worker["pid"] != killed and swarm.get("/health")[0] == 200

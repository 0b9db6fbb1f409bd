"""A worker's process under odd requests: each ends with an answer or a typed error, and the process lives.

`make fuzz-worker` is the long form, with new examples each time.
"""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.common.channel import KEEPALIVE_OPTIONS
from services.common.errors import Reason, SwarmError
from services.common.grpc_errors import from_rpc_error
from swarm.common.v1 import chat_pb2
from swarm.inference.v1 import inference_pb2 as pb
from swarm.inference.v1 import inference_pb2_grpc
from tests.fakes import tiny_gguf
from tests.integration.odd_requests import MOST_CANDIDATES, conversation, extreme, odd, plain

TIMEOUT = 60.0
# Examples of each property; the long form's number comes from the environment.
EXAMPLES = int(os.environ.get("SWARM_FUZZ_EXAMPLES", "0")) or 80
LONG_FORM = "SWARM_FUZZ_EXAMPLES" in os.environ
MEGABYTE = 1 << 20
# What the process may take beyond what it took when it was warm: kept KV state, and what malloc keeps.
MORE_MEMORY = 256 * MEGABYTE

# Renders all that a message can hold, and refuses what several models' own templates refuse.
TEMPLATE = (
    "{%- if tools %}{{- '<|im_start|>system\n<tool_call> with \"arguments\"' }}"
    "{%- for tool in tools %}{{- '\n' + (tool | tojson) }}{%- endfor %}{{- '<|im_end|>\n' }}{%- endif %}"
    "{%- for message in messages %}"
    "{%- if message.role == 'system' and not loop.first %}"
    "{{- raise_exception('System message must be at the beginning.') }}{%- endif %}"
    "{{- '<|im_start|>' + message.role + '\n' }}"
    "{%- if message.reasoning_content %}"
    "{{- '<think>\n' + message.reasoning_content + '\n</think>\n' }}{%- endif %}"
    "{{- message.content }}"
    "{%- for call in message.tool_calls or [] %}"
    '{{- \'\n<tool_call>\n{"name": "\' + call.function.name + \'", "arguments": \' }}'
    "{{- call.function.arguments | tojson }}{{- '}\n</tool_call>' }}{%- endfor %}"
    "{%- if message.role == 'tool' %}{{- ' of ' + message.name + ' ' + message.tool_call_id }}{%- endif %}"
    "{{- '<|im_end|>\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)

# What may be wrong with a request. Whatever is not here would be the worker's own fault.
TYPED = {
    Reason.INVALID_FIELD,
    Reason.UNSUPPORTED_PARAMETER,
    Reason.CONTEXT_LENGTH_EXCEEDED,
    Reason.MODEL_NOT_FOUND,
    Reason.TEMPLATE_FAILED,
}

fuzzed = settings(
    max_examples=EXAMPLES,
    derandomize=not LONG_FORM,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@dataclass
class Target:
    """The worker's process and the way to it."""

    process: subprocess.Popen[bytes]
    channel: grpc.Channel
    log: Path
    memory: int = 0
    usual: str = ""

    def start(self, request: pb.ChatRequest) -> Any:
        return inference_pb2_grpc.InferenceServiceStub(self.channel).Chat(request, timeout=TIMEOUT)

    def outcome(self, request: pb.ChatRequest) -> list[pb.ChatEvent] | SwarmError:
        return outcome(self.start(request))

    def text(self, request: pb.ChatRequest) -> str:
        events = self.outcome(request)
        assert not isinstance(events, SwarmError), events
        check_answer(request, events)
        return text_of(events, 0)

    def is_well(self) -> None:
        """It lives, within its memory, and answers as it always did."""
        assert self.process.poll() is None, self.tail()
        assert self.resident() - self.memory < MORE_MEMORY
        assert self.text(plain()) == self.usual

    def resident(self) -> int:
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    home = tmp_path_factory.mktemp("fuzz")
    add = gguf.GGUFWriter.add_tokenizer_pre
    with pytest.MonkeyPatch.context() as patch:
        # A pre-tokenizer that llama.cpp runs on the stack.
        patch.setattr(gguf.GGUFWriter, "add_tokenizer_pre", lambda self, _: add(self, "deepseek-coder"))
        model = tiny_gguf.write(home / "tiny.gguf", template=TEMPLATE)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("SWARM_")},
        "SWARM_CONFIG": os.devnull,
        "SWARM_HOME": str(home),
        "SWARM_MODEL": str(model),
        "SWARM_WORKER_PORT": str(port),
        "SWARM_DISCOVERY_PORT": "1",
        "SWARM_THREADS": "1",
        "SWARM_KV_RAM": str(4 * MEGABYTE),
        "SWARM_KV_DISK": str(16 * MEGABYTE),
    }
    log = home / "worker.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.inference_worker"], env=environment, stdout=output, stderr=output
        )
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=KEEPALIVE_OPTIONS) as channel:
            _wait_until_serving(channel)
            target = Target(process, channel, log)
            target.usual = target.text(plain())
            # The largest there is comes first, so that later growth is a leak.
            target.outcome(plain("x" * MEGABYTE))
            many = plain(max_tokens=16)
            many.candidates = MOST_CANDIDATES
            target.outcome(many)
            target.memory = target.resident()
            yield target
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT) == 0, target.tail()
    finally:
        process.kill()
        process.wait()


def _wait_until_serving(channel: grpc.Channel) -> None:
    request = health_pb2.HealthCheckRequest(service="swarm.inference.v1.InferenceService")
    watch = health_pb2_grpc.HealthStub(channel).Watch(request, timeout=TIMEOUT, wait_for_ready=True)
    for health in watch:
        if health.status == health_pb2.HealthCheckResponse.SERVING:
            break
    watch.cancel()


def outcome(call: Any) -> list[pb.ChatEvent] | SwarmError:
    try:
        return list(call)
    except grpc.RpcError as error:
        return from_rpc_error(error)  # type: ignore[arg-type]  # it has the methods of the aio error


def text_of(events: list[pb.ChatEvent], candidate: int) -> str:
    return "".join(each.content.text for each in events if each.candidate == candidate)


def check_outcome(request: pb.ChatRequest, got: list[pb.ChatEvent] | SwarmError) -> None:
    if isinstance(got, SwarmError):
        assert got.reason in TYPED, got
        assert got.message
        assert got.reason is not Reason.INVALID_FIELD or got.param
    else:
        assert all(map(math.isfinite, numbers_of(request.sampling))), "a number that is none was taken"
        check_answer(request, got)


def numbers_of(sampling: pb.Sampling) -> list[float]:
    given = [value for _, value in sampling.ListFields() if isinstance(value, float)]
    return [*given, *sampling.logit_bias.values()]


def check_answer(request: pb.ChatRequest, events: list[pb.ChatEvent]) -> None:
    """The stream is whole, and its numbers are numbers."""
    kinds = [event.WhichOneof("event") for event in events]
    assert kinds[0] == "accepted"
    assert kinds[-1] == "usage"
    finished = [each for each in events if each.HasField("candidate_finished")]
    assert sorted(each.candidate for each in finished) == list(range(max(1, request.candidates)))
    most = request.sampling.max_tokens if request.sampling.HasField("max_tokens") else tiny_gguf.CONTEXT
    for each in finished:
        assert 0 < each.candidate_finished.completion_tokens <= most
        assert math.isfinite(each.candidate_finished.logprob_sum)
        said = text_of(events, each.candidate)
        assert not any(stop in said for stop in request.sampling.stop)
    total = sum(each.candidate_finished.completion_tokens for each in finished)
    assert events[-1].usage.completion_tokens == total
    for event in events:
        for token in event.token_logprobs.tokens:
            assert len(token.top) <= request.sampling.top_logprobs
            assert all(-math.inf < each.logprob <= 1e-3 for each in (token, *token.top))


@fuzzed
@given(request=odd())
def test_any_value_of_any_field_ends_with_an_answer_or_a_typed_error(
    target: Target, request: pb.ChatRequest
) -> None:
    check_outcome(request, target.outcome(request))
    target.is_well()


@fuzzed
@given(request=conversation())
def test_any_conversation_with_any_tools(target: Target, request: pb.ChatRequest) -> None:
    check_outcome(request, target.outcome(request))
    target.is_well()


@fuzzed
@given(request=extreme())
def test_what_is_allowed_is_answered_however_extreme(target: Target, request: pb.ChatRequest) -> None:
    got = target.outcome(request)
    assert not isinstance(got, SwarmError), got
    check_answer(request, got)
    target.is_well()


@fuzzed
@given(requests=st.lists(st.tuples(st.one_of(odd(), extreme()), st.integers(0, 4)), min_size=2, max_size=6))
def test_odd_neighbours_in_one_batch(target: Target, requests: list[tuple[pb.ChatRequest, int]]) -> None:
    """Some of the clients leave after so many events; 0: they stay."""
    calls = [(request, leave, target.start(request)) for request, leave in requests]
    for request, leave, call in calls:
        if leave:
            outcome(event for event, _ in zip(call, range(leave), strict=False))
            call.cancel()
        else:
            check_outcome(request, outcome(call))
    target.is_well()


@fuzzed
@given(data=st.binary(max_size=200))
def test_bytes_that_are_no_request(target: Target, data: bytes) -> None:
    """gRPC itself may refuse these, with a status of its own."""
    call = target.channel.unary_stream("/swarm.inference.v1.InferenceService/Chat")(data, timeout=TIMEOUT)
    outcome(call)
    target.is_well()


def _tool(name: str = "read", parameters: str = "") -> chat_pb2.Tool:
    return chat_pb2.Tool(name=name, parameters_json=parameters)


def _huge() -> dict[str, pb.ChatRequest]:
    """One request for each way to be too much."""
    requests = {
        f"a megabyte of {piece!r}": plain(piece * (MEGABYTE // len(piece)))
        for piece in ("x", " ", "\n", "7", "\0", "'s", "\u00e9", "x y ", "<|im_end|>", "\u200b", "!?")
    }
    few = plain().messages
    for name, fields in {
        "messages": {"messages": [chat_pb2.Message(role=1 + n % 4) for n in range(5_000)]},
        "tools": {"messages": few, "tools": [_tool(f"t{n}") for n in range(5_000)]},
        "the name of a tool": {"messages": few, "tools": [_tool("x" * MEGABYTE)]},
        "a schema": {"messages": few, "tools": [_tool(parameters=json.dumps({"a": "x" * MEGABYTE}))]},
        "a deep schema": {
            "messages": few,
            "tools": [_tool(parameters='{"a":' * 50_000 + "1" + "}" * 50_000)],
        },
        "calls": {
            "messages": [chat_pb2.Message(role=3, tool_calls=[chat_pb2.ToolCall(id="x")] * 5_000), *few]
        },
        "a session": {"messages": few, "session_id": "s" * MEGABYTE, "candidates": 2},
        "a parent": {"messages": few, "parent_session_id": "\0" * MEGABYTE, "candidates": 2},
        "a model's name": {"messages": few, "model": "m" * MEGABYTE},
        "candidates": {"messages": few, "candidates": 2**31 - 1},
        "stops": {"messages": few, "sampling": pb.Sampling(stop=["x"] * 100_000)},
        "a stop": {"messages": few, "sampling": pb.Sampling(stop=["x" * MEGABYTE], max_tokens=4)},
        "breakers": {"messages": few, "sampling": pb.Sampling(dry_sequence_breakers=["x"] * 100_000)},
        "a breaker": {"messages": few, "sampling": pb.Sampling(dry_sequence_breakers=["x" * MEGABYTE])},
        "biases": {
            "messages": few,
            "sampling": pb.Sampling(logit_bias=dict.fromkeys(range(300_000), 1.0)),
        },
    }.items():
        requests[f"too much: {name}"] = pb.ChatRequest(**fields)
    return requests


@pytest.mark.parametrize("name", list(_huge()))
def test_too_much_of_anything(target: Target, name: str) -> None:
    request = _huge()[name]
    check_outcome(request, target.outcome(request))
    target.is_well()


def test_the_log_tells_of_no_failure(target: Target) -> None:
    """Of the tests before: a mistake behind a typed error would show here."""
    lines = [json.loads(line) for line in target.log.read_text().splitlines() if line.startswith("{")]
    assert [line for line in lines if line["event"] == "rpc"]
    # Bytes that are no request fail in gRPC, before any code of ours.
    failed = [line for line in lines if "DecodeError" not in line.get("exception", "")]
    assert not [line for line in failed if line["level"] in ("error", "critical") or "exception" in line]

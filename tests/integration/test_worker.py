"""The worker on a real server, with llama.cpp and a tiny GGUF of random weights."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common.channel import open_channel
from services.common.chat import (
    Accepted,
    CandidateFinished,
    ChatEvent,
    ChatRequest,
    ContentDelta,
    FinishReason,
    Message,
    PrefillProgress,
    Role,
    Sampling,
    Tool,
    ToolChoice,
    ToolChoiceMode,
    Usage,
)
from services.common.chat_proto import event_from_proto, request_to_proto
from services.common.errors import Reason, SwarmError
from services.common.grpc_errors import from_rpc_error
from services.common.settings import Settings
from services.discovery.service import running as discovery_running
from services.inference_worker.backends.base import BackendFailure, Slice
from services.inference_worker.backends.llama_cpp.backend import LlamaCppBackend
from services.inference_worker.service import EngineLost, running
from swarm.discovery.v1 import discovery_pb2, discovery_pb2_grpc
from swarm.inference.v1 import inference_pb2 as pb
from swarm.inference.v1 import inference_pb2_grpc
from tests.fakes import tiny_gguf
from tests.fakes.hub import Hub

TIMEOUT = 30.0
LONG_CONTEXT = 16_384
READ = Tool("read", "reads a file", '{"type": "object", "properties": {}, "required": ["path"]}')


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf.write(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture(scope="session")
def tiny_bytes(tiny: Path) -> bytes:
    return tiny.read_bytes()


@pytest.fixture(scope="session")
def tiny_long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its answers take seconds."""
    return tiny_gguf.write(tmp_path_factory.mktemp("models") / "long.gguf", context=LONG_CONTEXT)


@dataclass
class Answer:
    events: list[ChatEvent] = field(default_factory=list)

    def text(self, candidate: int = 0) -> str:
        return "".join(
            each.text
            for each in self.events
            if isinstance(each, ContentDelta) and each.candidate == candidate
        )

    @property
    def finished(self) -> dict[int, CandidateFinished]:
        return {each.candidate: each for each in self.events if isinstance(each, CandidateFinished)}

    @property
    def usage(self) -> Usage:
        last = self.events[-1]
        assert isinstance(last, Usage)
        return last


class Client:
    def __init__(self, channel: grpc.aio.Channel, address: str) -> None:
        self.address = address
        self.stub = inference_pb2_grpc.InferenceServiceStub(channel)

    def call(self, request: ChatRequest) -> grpc.aio.UnaryStreamCall[pb.ChatRequest, pb.ChatEvent]:
        call = self.stub.Chat(request_to_proto(request), timeout=TIMEOUT)
        assert isinstance(call, grpc.aio.UnaryStreamCall)
        return call

    async def ask(self, request: ChatRequest) -> Answer:
        answer = Answer()
        try:
            async for event in self.call(request):
                answer.events.append(event_from_proto(event))
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        return answer

    async def refused(self, request: ChatRequest) -> SwarmError:
        """The error that comes instead of any event."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await anext(aiter(self.call(request)))
        return from_rpc_error(caught.value)

    async def status(self) -> pb.GetStatusResponse:
        return await self.stub.GetStatus(pb.GetStatusRequest(), timeout=TIMEOUT)

    async def until(self, condition: Callable[[pb.GetStatusResponse], bool], within: float) -> float:
        """Seconds until the worker's status fulfils `condition`."""
        started = monotonic()
        while not condition(await self.status()):
            assert monotonic() - started < within, await self.status()
        return monotonic() - started


@asynccontextmanager
async def worker(home: Path, model: Path, **changes: object) -> AsyncIterator[Client]:
    # Nobody listens on port 1: a swarm that runs on this machine must not find the tests' workers.
    fixed = {"home": home, "model": str(model), "threads": 1, "drain": 0.0, "discovery_port": 1}
    settings = Settings(**(fixed | changes))
    async with (
        running(settings, "127.0.0.1:0") as server,
        open_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        yield Client(channel, f"127.0.0.1:{server.port}")


def request(
    text: str = "hello", candidates: int = 1, sampling: Sampling | None = None, model: str = ""
) -> ChatRequest:
    return ChatRequest(
        model=model,
        messages=(Message(Role.USER, text),),
        candidates=candidates,
        sampling=sampling or Sampling(temperature=0.0, max_tokens=24),
    )


class TestAnswers:
    async def test_the_events_of_one_request(self, tmp_path: Path, tiny: Path) -> None:
        async with worker(tmp_path, tiny, worker_name="Zeus") as client:
            answer = await client.ask(request())
        accepted = answer.events[0]
        assert isinstance(accepted, Accepted)
        assert (accepted.model, accepted.worker, accepted.context_length) == ("tiny", "Zeus", 512)
        # Six markup tokens aside, every byte is a token.
        assert accepted.prompt_tokens == len("user\nhello\nassistant\n") + 3
        assert len(answer.text()) == 24
        finished = answer.finished[0]
        assert finished.reason is FinishReason.LENGTH
        assert (finished.completion_tokens, finished.reasoning_tokens) == (24, 0)
        assert -24 * 6 < finished.logprob_sum < 0
        assert answer.usage == Usage(accepted.prompt_tokens, 0, 24, 0)

    async def test_three_in_one_batch_equal_one_alone(self, tmp_path: Path, tiny: Path) -> None:
        async with worker(tmp_path, tiny) as client:
            together = await client.ask(request(candidates=3))
        async with worker(tmp_path, tiny) as client:
            alone = await client.ask(request())
        assert [together.text(index) for index in range(3)] == [alone.text()] * 3
        assert together.usage.completion_tokens == 3 * 24
        assert together.usage.prompt_tokens == alone.usage.prompt_tokens

    async def test_a_reused_prefix_changes_nothing(self, tmp_path: Path, tiny: Path) -> None:
        follow_up = "hello, and much more of the same conversation"
        async with worker(tmp_path, tiny) as client:
            fresh = await client.ask(request(follow_up))
        async with worker(tmp_path, tiny) as client:
            await client.ask(request("hello, and much more"))
            reused = await client.ask(request(follow_up))
        assert fresh.usage.cached_tokens == 0
        assert reused.usage.cached_tokens > len("hello, and much more")
        assert reused.text() == fresh.text()
        # The cache rounds to 16 bits, so a prefix computed in other portions differs a little.
        assert reused.finished[0].logprob_sum == pytest.approx(fresh.finished[0].logprob_sum, abs=0.2)

    async def test_parallel_requests_do_not_mix(self, tmp_path: Path, tiny: Path) -> None:
        texts = [f"request {index} " * (index + 1) for index in range(10)]
        async with worker(tmp_path, tiny, slots=6) as client:
            together = await asyncio.gather(*(client.ask(request(text, candidates=2)) for text in texts))
        async with worker(tmp_path, tiny, slots=1) as client:
            for text, answer in zip(texts, together, strict=True):
                alone = (await client.ask(request(text))).text()[:12]
                assert [answer.text(0)[:12], answer.text(1)[:12]] == [alone] * 2

    async def test_seeds_make_draws_repeatable(self, tmp_path: Path, tiny: Path) -> None:
        drawn = Sampling(temperature=1.5, top_k=0, top_p=1.0, min_p=0.0, seed=7, max_tokens=24)
        async with worker(tmp_path, tiny) as client:
            first = await client.ask(request(candidates=3, sampling=drawn))
            second = await client.ask(request(candidates=3, sampling=drawn))
        texts = [first.text(index) for index in range(3)]
        assert texts == [second.text(index) for index in range(3)]
        assert len(set(texts)) == 3

    async def test_a_stop_string_cuts_the_text(self, tmp_path: Path, tiny: Path) -> None:
        async with worker(tmp_path, tiny) as client:
            whole = (await client.ask(request())).text()
            stop = whole[5:8]
            sampling = Sampling(temperature=0.0, max_tokens=24, stop=(stop,))
            answer = await client.ask(request(sampling=sampling))
        assert answer.text() == whole[: whole.find(stop)]
        assert answer.finished[0].reason is FinishReason.STOP
        assert answer.usage.completion_tokens == whole.find(stop) + 3

    async def test_penalties_reach_the_sampler(self, tmp_path: Path, tiny: Path) -> None:
        penalised = Sampling(temperature=0.0, max_tokens=26, frequency_penalty=2.0, presence_penalty=2.0)
        async with worker(tmp_path, tiny) as client:
            plain = (await client.ask(request(sampling=Sampling(temperature=0.0, max_tokens=26)))).text()
            varied = (await client.ask(request(sampling=penalised))).text()
        assert len(set(varied)) > len(set(plain))

    async def test_without_max_tokens_it_goes_to_the_contexts_end(self, tmp_path: Path, tiny: Path) -> None:
        async with worker(tmp_path, tiny) as client:
            for wanted in (None, 32_000):
                answer = await client.ask(request(sampling=Sampling(temperature=0.0, max_tokens=wanted)))
                assert answer.finished[0].reason is FinishReason.LENGTH
                assert answer.usage.prompt_tokens + answer.usage.completion_tokens == tiny_gguf.CONTEXT

    async def test_a_long_prefill_tells_how_far_it_is(self, tmp_path: Path, tiny_long: Path) -> None:
        async with worker(tmp_path, tiny_long, batch=64) as client:
            answer = await client.ask(request("p" * 300))
        progress = [each for each in answer.events if isinstance(each, PrefillProgress)]
        done = [each.done_tokens for each in progress]
        # At once, then now and then: so short a prompt is done before that.
        assert (done[0], done[-1]) == (64, answer.usage.prompt_tokens)
        assert done == sorted(set(done))
        assert all(each.total_tokens == answer.usage.prompt_tokens for each in progress)

    async def test_answers_hold_when_cells_are_short(self, tmp_path: Path, tiny: Path) -> None:
        """Four answers of 150 tokens in 256 cells: they take turns, and nobody notices."""
        sampling = Sampling(temperature=0.0, max_tokens=150)
        texts = [f"request {index}" for index in range(4)]
        async with worker(tmp_path, tiny, context=256) as client:
            together = await asyncio.gather(*(client.ask(request(text, sampling=sampling)) for text in texts))
        async with worker(tmp_path, tiny) as client:
            alone = [await client.ask(request(text, sampling=sampling)) for text in texts]
        assert all(len(answer.text()) == 150 for answer in together)
        # Other batches round otherwise, which may part two answers; test_engine_exact.py looks closer.
        same = [one.text()[:20] == other.text()[:20] for one, other in zip(alone, together, strict=True)]
        assert sum(same) >= 2


class TestToolChoice:
    async def test_a_forced_call_begins_as_one(self, tmp_path: Path, tiny: Path) -> None:
        named = ChatRequest(
            "tiny",
            (Message(Role.USER, "hi"),),
            tools=(READ, Tool("write")),
            tool_choice=ToolChoice(ToolChoiceMode.NAMED, "read"),
            sampling=Sampling(temperature=0.0, max_tokens=4),
        )
        async with worker(tmp_path, tiny) as client:
            answer = await client.ask(named)
        assert answer.text() == ""
        assert answer.finished[0].reason is FinishReason.LENGTH

    async def test_a_choice_that_cannot_be_is_refused(self, tmp_path: Path, tiny: Path) -> None:
        messages = (Message(Role.USER, "hi"),)
        required = ToolChoice(ToolChoiceMode.REQUIRED)
        named = ToolChoice(ToolChoiceMode.NAMED, "unknown")
        async with worker(tmp_path, tiny) as client:
            for choice, tools in ((required, ()), (named, (READ,))):
                error = await client.refused(ChatRequest("", messages, tools=tools, tool_choice=choice))
                assert (error.reason, error.param) == (Reason.INVALID_FIELD, "tool_choice")

    async def test_a_model_without_calls_says_so(self, tmp_path: Path) -> None:
        plain = "{% for message in messages %}{{ message.content }}{% endfor %}"
        model = tiny_gguf.write(tmp_path / "plain.gguf", template=plain)
        wanted = ChatRequest(
            "",
            (Message(Role.USER, "hi"),),
            tools=(READ,),
            tool_choice=ToolChoice(ToolChoiceMode.REQUIRED),
        )
        async with worker(tmp_path, model, tool_format="none") as client:
            error = await client.refused(wanted)
        assert (error.reason, error.param) == (Reason.UNSUPPORTED_PARAMETER, "tool_choice")

    async def test_a_model_is_told_of_its_tools_in_words_that_change_without_a_restart(
        self, tmp_path: Path
    ) -> None:
        plain = "{% for message in messages %}{{ message.content }}{% endfor %}"
        model = tiny_gguf.write(tmp_path / "plain.gguf", template=plain)
        wanted = replace(request(), tools=(READ,))
        file = tmp_path / "tool_instructions.txt"
        sizes = []
        async with worker(tmp_path, model) as client:
            for text in ("{tools}", "{tools} and then some"):
                file.write_text(text)
                accepted = (await client.ask(wanted)).events[0]
                assert isinstance(accepted, Accepted)
                sizes.append(accepted.prompt_tokens)
        assert sizes[0] < sizes[1]


class TestRefusals:
    async def test_a_prompt_too_long_is_refused_before_the_stream(self, tmp_path: Path, tiny: Path) -> None:
        async with worker(tmp_path, tiny) as client:
            error = await client.refused(request("x" * 600))
        assert error.reason is Reason.CONTEXT_LENGTH_EXCEEDED
        assert "maximum context length is 512 tokens" in error.message

    async def test_a_full_queue_says_when_to_come_back(self, tmp_path: Path, tiny_long: Path) -> None:
        endless = Sampling(temperature=0.0)
        async with worker(tmp_path, tiny_long, slots=1, queue=1) as client:
            calls = [client.call(request(text, sampling=endless)) for text in ("first", "second")]
            for call in calls:
                assert (await anext(aiter(call))).HasField("accepted")
            await client.until(lambda status: status.slots_busy == 1 and status.queue_length == 1, 5.0)
            error = await client.refused(request("third"))
            assert error.reason is Reason.QUEUE_FULL
            assert error.retry_after is not None
            assert error.retry_after >= 1
            for call in calls:
                call.cancel()
            await client.until(lambda status: status.slots_busy == 0, 5.0)
            assert len((await client.ask(request("third"))).text()) == 24

    @pytest.mark.parametrize(
        ("wrong", "reason", "param"),
        [
            (request(model="other"), Reason.MODEL_NOT_FOUND, "model"),
            (request(sampling=Sampling(temperature=9.0)), Reason.INVALID_FIELD, "temperature"),
            (request(candidates=500), Reason.INVALID_FIELD, "n"),
        ],
    )
    async def test_a_wrong_field_is_named(
        self, tmp_path: Path, tiny: Path, wrong: ChatRequest, reason: Reason, param: str
    ) -> None:
        async with worker(tmp_path, tiny) as client:
            error = await client.refused(wrong)
        assert (error.reason, error.param) == (reason, param)


class TestClientsThatLeave:
    @pytest.mark.parametrize("text", ["short", "long " * 3000])
    async def test_slots_are_free_within_half_a_second(
        self, tmp_path: Path, tiny_long: Path, text: str
    ) -> None:
        """Once in the middle of three answers, once in the middle of a prefill."""
        async with worker(tmp_path, tiny_long) as client:
            call = client.call(request(text, candidates=3, sampling=Sampling(temperature=0.0)))
            events = aiter(call)
            for _ in range(20 if text == "short" else 2):
                await anext(events)
            await client.until(lambda status: status.slots_busy == 3, 5.0)
            call.cancel()
            assert await client.until(lambda status: status.slots_busy == 0, 5.0) < 0.5
            assert (await client.status()).cells_used == 0
            # Nobody generates for nobody.
            before = (await client.status()).generated_tokens_total
            assert (await client.status()).generated_tokens_total == before

    async def test_a_waiting_request_leaves_the_queue(self, tmp_path: Path, tiny_long: Path) -> None:
        async with worker(tmp_path, tiny_long, slots=1) as client:
            calls = [client.call(request(text, sampling=Sampling())) for text in ("first", "second")]
            for call in calls:
                await anext(aiter(call))
            calls[1].cancel()
            assert await client.until(lambda status: status.queue_length == 0, 5.0) < 0.5
            calls[0].cancel()

    async def test_a_reader_that_stalls_is_given_up(
        self, tmp_path: Path, tiny_long: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("services.inference_worker.worker.PENDING_LIMIT", 2_000)
        # A receiver with little room: what it does not read stays with the worker.
        narrow = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 4_096))
        async with (
            worker(tmp_path, tiny_long) as client,
            grpc.aio.insecure_channel(client.address, options=narrow) as channel,
        ):
            stalled = Client(channel, client.address).call(
                request(candidates=8, sampling=Sampling(temperature=0.0))
            )
            await anext(aiter(stalled))
            await client.until(lambda status: status.slots_busy == 8, 5.0)
            await client.until(lambda status: status.slots_busy == 0, TIMEOUT)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                async for _ in stalled:
                    pass
            assert from_rpc_error(caught.value).message == "the answer was not read fast enough"
            assert len((await client.ask(request())).text()) == 24


class TestModelsThatCannotBeServed:
    async def refusal(self, home: Path, model: Path, **changes: object) -> SwarmError:
        with pytest.raises(SwarmError) as caught:
            async with worker(home, model, **changes):
                pass
        return caught.value

    async def test_a_file_that_is_cut_short(self, tmp_path: Path, tiny_bytes: bytes) -> None:
        short = tmp_path / "short.gguf"
        short.write_bytes(tiny_bytes[:-5000])
        error = await self.refusal(tmp_path, short)
        assert error.reason is Reason.MODEL_FILE_INVALID
        assert "cut short" in error.message

    async def test_a_context_that_does_not_fit(self, tmp_path: Path, tiny: Path) -> None:
        error = await self.refusal(tmp_path, tiny, context=1 << 40)
        assert error.reason is Reason.MODEL_TOO_LARGE
        assert "SWARM_CONTEXT=" in error.message

    async def test_a_model_without_a_template(self, tmp_path: Path) -> None:
        error = await self.refusal(tmp_path, tiny_gguf.write(tmp_path / "base.gguf", template=None))
        assert error.reason is Reason.MODEL_FILE_INVALID
        assert "no chat template" in error.message

    async def test_a_template_that_is_none(self, tmp_path: Path) -> None:
        error = await self.refusal(tmp_path, tiny_gguf.write(tmp_path / "bad.gguf", template="{% if %}"))
        assert error.reason is Reason.MODEL_FILE_INVALID

    async def test_a_port_that_is_taken(self, tmp_path: Path, tiny: Path) -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            taken = f"127.0.0.1:{other.getsockname()[1]}"
            with pytest.raises(SwarmError, match=taken):
                async with running(Settings(home=tmp_path, model=str(tiny)), taken):
                    pass


class TestLife:
    async def test_it_lists_its_model_and_registers(self, tmp_path: Path, tiny: Path) -> None:
        settings = Settings(home=tmp_path, discovery_port=free_port())
        async with (
            discovery_running(settings) as discovery,
            worker(tmp_path, tiny, worker_name="Nebula", discovery_port=discovery.port) as client,
            open_channel(f"127.0.0.1:{discovery.port}") as channel,
        ):
            models = (await client.stub.ListModels(pb.ListModelsRequest(), timeout=TIMEOUT)).models
            assert [(each.id, each.context_length, each.tool_format) for each in models] == [
                ("tiny", 512, "hermes_json")
            ]
            assert models[0].tool_format_source == "described in the template"
            stub = discovery_pb2_grpc.DiscoveryServiceStub(channel)
            async for listed in stub.Watch(discovery_pb2.WatchRequest(), timeout=TIMEOUT):
                if listed.members:
                    break
            (member,) = listed.members
            assert (member.name, member.kind) == ("Nebula", discovery_pb2.MEMBER_KIND_WORKER)
            assert [each.id for each in member.models] == ["tiny"]

    async def test_a_lost_engine_ends_the_service(
        self, tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(self: LlamaCppBackend, slices: Sequence[Slice]) -> None:
            raise BackendFailure("the device is gone")

        async def serve_until_it_fails() -> None:
            async with worker(tmp_path, tiny) as client:
                monkeypatch.setattr(LlamaCppBackend, "decode", fail)
                with pytest.raises(SwarmError) as caught:
                    await client.ask(request())
                failed.append(caught.value)

        failed: list[SwarmError] = []
        with pytest.raises(EngineLost):
            await serve_until_it_fails()
        assert [error.reason for error in failed] == [Reason.WORKER_LOST]

    async def test_the_process_serves_and_drains(self, tmp_path: Path, tiny: Path) -> None:
        port = free_port()
        process = await start_process(tmp_path, SWARM_MODEL=str(tiny), SWARM_WORKER_PORT=str(port))
        address = f"127.0.0.1:{port}"
        async with open_channel(address) as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch(
                health_pb2.HealthCheckRequest(service="swarm.inference.v1.InferenceService"),
                timeout=TIMEOUT,
                wait_for_ready=True,
            )
            async for health in watch:
                if health.status == health_pb2.HealthCheckResponse.SERVING:
                    break
            watch.cancel()
            assert len((await Client(channel, address).ask(request())).text()) == 24
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(TIMEOUT):
                assert await process.wait() == 0

    async def test_the_process_pulls_its_model_and_says_how_far_it_is(
        self, tmp_path: Path, tiny_bytes: bytes
    ) -> None:
        port = free_port()
        with Hub({"owner/repo": {"small.gguf": tiny_bytes}}) as hub:
            hub.break_after = [100_000]
            process = await start_process(
                tmp_path,
                SWARM_MODEL="hf:owner/repo:small.gguf",
                SWARM_WORKER_PORT=str(port),
                HF_ENDPOINT=hub.endpoint,
                HF_HUB_CACHE=str(tmp_path / "empty"),
            )
            assert process.stderr is not None
            lines = []
            async with asyncio.timeout(TIMEOUT):
                async for line in process.stderr:
                    lines.append(json.loads(line))
                    if lines[-1]["event"] == "serving":
                        break
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(TIMEOUT):
                await process.communicate()
        size = len(tiny_bytes)
        pulled = [(line["done"], line["total"]) for line in lines if line["event"] == "model.pull"]
        assert pulled[0] == (0, size)
        assert pulled[-1] == (size, size)
        assert (tmp_path / "models/owner/repo/small.gguf").read_bytes() == tiny_bytes
        assert [line["model"] for line in lines if line["event"] == "model.ready"] == ["small"]

    async def test_a_file_that_is_no_model_is_one_clear_line(self, tmp_path: Path) -> None:
        bad = tmp_path / "notes.gguf"
        bad.write_text("this is no model at all")
        process = await start_process(tmp_path, SWARM_MODEL=str(bad), SWARM_WORKER_PORT=str(free_port()))
        async with asyncio.timeout(TIMEOUT):
            _, stderr = await process.communicate()
        assert process.returncode == 78
        last = stderr.decode().splitlines()[-1]
        assert last.startswith("inference_worker: ")
        assert "notes.gguf" in last
        assert "not a GGUF file" in last


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def start_process(home: Path, **environment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.inference_worker",
        env={**os.environ, "SWARM_HOME": str(home), "SWARM_THREADS": "1", **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )

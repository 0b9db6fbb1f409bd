"""The gateway on a real socket between real clients and a scripted consensus service."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.schemas.answers import Error, Healthy, ModelList, Unhealthy
from services.common.errors import Reason, SwarmError, context_length_exceeded
from swarm.consensus.v1 import consensus_pb2 as pb
from tests.fakes import consensus as fake
from tests.fakes.consensus import FakeConsensus
from tests.fakes.gateway import Running, gateway, running

ASK: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}]}
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "bash",
            "parameters": {"type": "object", "properties": {"command": {"type": "string"}}},
        },
    }
]


@pytest.fixture
async def up() -> AsyncIterator[Running]:
    async with running() as started:
        yield started


def call_or_answer(request: pb.DecideRequest) -> fake.Script:
    """Asks for a tool first and answers when it has been told the result."""
    last = request.chat.messages[-1]
    if last.tool_call_id:
        return fake.words("there is ", last.content)
    return [
        fake.accepted(),
        fake.started("call_7", "bash"),
        fake.arguments('{"command": '),
        fake.arguments('"ls"}'),
        fake.ended(),
        fake.finished("tool_calls"),
        fake.ballots(),
        fake.usage(),
    ]


# --- OpenAI's SDK -----------------------------------------------------------------------------------------


async def test_the_sdk_gets_a_whole_answer(up: Running) -> None:
    answer = await asyncio.to_thread(lambda: up.sdk.chat.completions.create(**ASK))
    assert answer.choices[0].message.content == "Hello there"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 9
    assert up.consensus.requests[0].chat.messages[0].content == "hi"


async def test_the_sdk_streams(up: Running) -> None:
    def read() -> list[Any]:
        return list(
            up.sdk.chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True})
        )

    chunks = await asyncio.to_thread(read)
    assert "".join(part.delta.content or "" for chunk in chunks for part in chunk.choices) == "Hello there"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage.completion_tokens == 2
    assert chunks[-1].choices == []


async def test_usage_comes_only_when_it_was_asked_for(up: Running) -> None:
    async with up.async_sdk as client:
        chunks = [chunk async for chunk in await client.chat.completions.create(**ASK, stream=True)]
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


async def test_the_sdk_sees_the_ballots(up: Running) -> None:
    up.consensus.script = [*fake.words("x"), fake.ballots()]
    async with up.async_sdk as client:
        whole = await client.chat.completions.with_raw_response.create(**ASK)
        chunks = [chunk async for chunk in await client.chat.completions.create(**ASK, stream=True)]
    answer: Any = whole.parse()
    assert answer.swarm["strategy"] == "tool_vote"
    assert (whole.headers["x-swarm-strategy"], whole.headers["x-swarm-decided"]) == ("tool_vote", "true")
    assert chunks[-1].swarm["ballots"][0]["won"] is True  # type: ignore[attr-defined]


async def test_the_tool_loop_without_streaming(up: Running) -> None:
    up.consensus.answer = call_or_answer
    messages: list[Any] = [{"role": "user", "content": "what is here?"}]
    async with up.async_sdk as client:
        for _ in range(2):
            answer = await client.chat.completions.create(model="tiny", messages=messages, tools=TOOLS)
            message = answer.choices[0].message
            messages.append(message)
            for call in message.tool_calls or ():
                assert call.type == "function"
                assert json.loads(call.function.arguments) == {"command": "ls"}
                messages.append({"role": "tool", "tool_call_id": call.id, "content": "a.txt"})
    assert message.content == "there is a.txt"
    assert [request.chat.tools[0].name for request in up.consensus.requests] == ["bash", "bash"]
    history = up.consensus.requests[1].chat.messages
    assert history[1].tool_calls[0].arguments_json == '{"command": "ls"}'


async def test_the_tool_loop_with_the_streaming_helper(up: Running) -> None:
    up.consensus.answer = call_or_answer
    messages: list[Any] = [{"role": "user", "content": "what is here?"}]
    async with up.async_sdk as client:
        for _ in range(2):
            async with client.chat.completions.stream(model="tiny", messages=messages, tools=TOOLS) as stream:
                answer = await stream.get_final_completion()
            message = answer.choices[0].message
            messages.append(message)
            messages += [
                {"role": "tool", "tool_call_id": call.id, "content": "a.txt"}
                for call in message.tool_calls or ()
            ]
    assert message.content == "there is a.txt"


async def test_extra_body_reaches_the_swarm(up: Running) -> None:
    async with up.async_sdk as client:
        await client.chat.completions.create(**ASK, extra_body={"swarm": {"voters": 5}, "top_k": 3})
    assert up.consensus.requests[0].voters == 5
    assert up.consensus.requests[0].chat.sampling.top_k == 3


ERRORS: list[tuple[SwarmError, type[openai.APIStatusError], str]] = [
    (context_length_exceeded(9000, 4096), openai.BadRequestError, "context_length_exceeded"),
    (SwarmError(Reason.MODEL_NOT_FOUND, "no such", "model"), openai.NotFoundError, "model_not_found"),
    (SwarmError(Reason.QUEUE_FULL, "full", retry_after=2.5), openai.RateLimitError, "queue_full"),
    (SwarmError(Reason.NO_WORKER, "none"), openai.InternalServerError, "no_worker"),
    (SwarmError(Reason.CANCELLED, "going"), openai.InternalServerError, "unavailable"),
    (SwarmError(Reason.TEMPLATE_FAILED, "bad"), openai.BadRequestError, "template_failed"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("error", "raised", "code"), ERRORS, ids=lambda value: getattr(value, "reason", None)
)
async def test_errors_before_the_answer_are_the_sdks_exceptions(
    up: Running, error: SwarmError, raised: type[openai.APIStatusError], code: str, stream: bool
) -> None:
    up.consensus.script = [error]
    async with up.async_sdk as client:
        with pytest.raises(raised) as refused:
            await client.chat.completions.create(**ASK, stream=stream)
    assert refused.value.code == code
    assert refused.value.param == error.param
    assert refused.value.response.headers.get("retry-after") == ("3" if error.retry_after else None)


async def test_the_sdk_comes_back_after_retry_after(up: Running) -> None:
    scripts: Iterator[fake.Script] = iter(
        [[SwarmError(Reason.QUEUE_FULL, "full", retry_after=0.05)], fake.words("now")]
    )
    up.consensus.answer = lambda request: next(scripts)
    async with up.async_sdk as client:
        started = time.monotonic()
        answer = await client.with_options(max_retries=1).chat.completions.create(**ASK)
    assert answer.choices[0].message.content == "now"
    assert time.monotonic() - started < 1.0, "retry-after-ms says less than a second"


async def test_an_error_within_the_stream_reaches_the_sdk(up: Running) -> None:
    up.consensus.script = [fake.accepted(), fake.content("a"), SwarmError(Reason.WORKER_LOST, "Zeus is gone")]
    async with up.async_sdk as client:
        stream = await client.chat.completions.create(**ASK, stream=True)
        with pytest.raises(openai.APIError, match="Zeus is gone"):
            async for _ in stream:
                pass


# --- the wire ---------------------------------------------------------------------------------------------


async def curl(*arguments: str) -> tuple[int, str]:
    """HTTP status and body, as curl got them."""
    process = await asyncio.create_subprocess_exec(
        "curl", "-sN", "-w", "\n%{http_code}", *arguments, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    body, _, status = out.decode().rpartition("\n")
    return int(status), body


JSON = ("-H", "content-type: application/json")


async def test_curl_streams(up: Running) -> None:
    up.consensus.script = [fake.accepted(), fake.heartbeat(), *fake.words("é")[1:]]
    body = json.dumps({**ASK, "stream": True})
    status, stream = await curl(f"{up.url}/v1/chat/completions", *JSON, "-d", body)
    assert status == 200
    assert ": ping\n\n" in stream
    assert '"content":"é"' in stream
    assert stream.endswith("data: [DONE]\n\n")


async def test_curl_sends_a_large_body_and_waits_for_the_word_to_go_on(up: Running, tmp_path: Any) -> None:
    large = {"model": "tiny", "messages": [{"role": "user", "content": "x" * 3_000_000}]}
    path = tmp_path / "body.json"
    path.write_text(json.dumps(large))
    url = f"{up.url}/v1/chat/completions"
    status, _ = await curl(url, *JSON, "-H", "Expect: 100-continue", "-d", f"@{path}")
    assert status == 200
    assert len(up.consensus.requests[0].chat.messages[0].content) == 3_000_000


@pytest.mark.parametrize("chunked", [False, True])
async def test_too_large_a_body_is_refused(chunked: bool, tmp_path: Any) -> None:
    path = tmp_path / "body.json"
    path.write_text('{"messages": "' + "x" * 500_000 + '"}')
    more = ["-H", "Transfer-Encoding: chunked"] if chunked else []
    async with running(max_body=100_000) as up:
        status, body = await curl(f"{up.url}/v1/chat/completions", *JSON, *more, "-d", f"@{path}")
    assert status == 413
    assert json.loads(body)["error"]["code"] == "request_too_large"


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (["-X", "GET"], 405, "method_not_allowed"),
        (["-X", "PUT", *JSON, "-d", "{}"], 405, "method_not_allowed"),
        (["-d", "{}"], 415, "unsupported_media_type"),
        ([*JSON, "-d", "{"], 400, "invalid_value"),
        ([*JSON, "-d", ""], 400, "invalid_value"),
        ([*JSON, "-d", "{}"], 400, "invalid_value"),
        ([*JSON, "-d", "{}", "-H", "Host: evil.example"], 403, "forbidden"),
        ([*JSON, "-d", "{}", "-H", "Origin: https://evil.example"], 403, "forbidden"),
    ],
)
async def test_curl_is_told_what_is_wrong(up: Running, arguments: list[str], status: int, code: str) -> None:
    got, body = await curl(f"{up.url}/v1/chat/completions", *arguments)
    assert got == status
    assert Error.model_validate_json(body).error.code == code


async def test_further_host_names_can_be_allowed() -> None:
    async with running(allowed_hosts="box.lan, other.lan") as up:
        assert (await up.post(ASK, headers={"host": "other.lan:17615"})).status_code == 200
        assert (await up.post(ASK, headers={"host": "third.lan"})).status_code == 403


async def test_an_unknown_path_is_told_in_the_same_form(up: Running) -> None:
    status, body = await curl(f"{up.url}/v1/nope")
    assert status == 404
    assert "GET /v1/nope" in Error.model_validate_json(body).error.message


async def test_the_request_id_is_echoed_and_sent_along(up: Running) -> None:
    answer = await up.post(ASK, headers={"x-request-id": "abc-1"})
    assert answer.headers["x-request-id"] == up.consensus.metadata[0]["x-request-id"] == "abc-1"
    answer = await up.post(ASK)
    assert answer.headers["x-request-id"] == up.consensus.metadata[1]["x-request-id"] != "abc-1"


async def test_sessions_are_sent_along(up: Running) -> None:
    await up.post(ASK, headers={"x-session-id": "s", "x-parent-session-id": "p"})
    chat = up.consensus.requests[0].chat
    assert (chat.session_id, chat.parent_session_id) == ("s", "p")


async def test_a_silent_stream_is_kept_alive_with_comments() -> None:
    go = asyncio.Event()
    async with running(heartbeat=0.02) as up, httpx2.AsyncClient() as client:
        up.consensus.script = [fake.accepted(), go, *fake.words("x")[1:]]
        url = f"{up.url}/v1/chat/completions"
        async with client.stream("POST", url, json={**ASK, "stream": True}) as stream:
            seen = ""
            async for text in stream.aiter_text():
                seen += text
                if seen.count(": ping\n\n") >= 3:
                    go.set()
        assert '"role":"assistant"' in seen.split(": ping")[0], "headers and role go out before the prefill"
        assert seen.endswith("data: [DONE]\n\n")


# --- models and health ------------------------------------------------------------------------------------


async def test_models_are_listed(up: Running) -> None:
    async with up.async_sdk as client:
        models = [model.id async for model in await client.models.list()]
        one = await client.models.retrieve("tiny")
    assert models == ["local-swarm", "local-swarm-agent", "tiny"]
    assert one.context_length == 4096  # type: ignore[attr-defined]
    ModelList.model_validate_json((await up.get("/v1/models")).content)


async def test_a_model_id_with_slashes_and_colons_is_found(up: Running) -> None:
    up.consensus.models[-1].id = "hf:owner/repo:file.gguf"
    async with up.async_sdk as client:
        assert (await client.models.retrieve("hf:owner/repo:file.gguf")).id == "hf:owner/repo:file.gguf"
        with pytest.raises(openai.NotFoundError) as refused:
            await client.models.retrieve("tiny")
    assert refused.value.code == "model_not_found"


@pytest.mark.parametrize("path", ["/health", "/v1/health"])
async def test_health(up: Running, path: str) -> None:
    answer = await up.get(path)
    assert answer.status_code == 200
    assert Healthy.model_validate_json(answer.content).models == ["tiny"]
    del up.consensus.models[-1]
    answer = await up.get(path)
    assert answer.status_code == 503
    assert Unhealthy.model_validate_json(answer.content).unavailable == "workers"


async def test_without_consensus_everything_is_503() -> None:
    async with gateway("127.0.0.1:1", FakeConsensus()) as up:
        health = await up.get("/health")
        assert health.status_code == 503
        assert Unhealthy.model_validate_json(health.content).unavailable == "consensus"
        assert (await up.get("/v1/models")).status_code == 503
        for stream in (False, True):
            answer = await up.post({**ASK, "stream": stream})
            assert answer.status_code == 503
            assert Error.model_validate_json(answer.content).error.code == "unavailable"


async def test_the_front_page_says_where_the_endpoint_is(up: Running) -> None:
    assert f"{up.url}/v1" in (await up.get("/")).text
    assert "<b>" not in (await up.get("/", headers={"host": "localhost:<b>"})).text


# --- lifetimes --------------------------------------------------------------------------------------------

FOREVER = asyncio.Event
WAITING: dict[str, tuple[bool, Callable[[], fake.Script]]] = {
    "stream, in the answer": (True, lambda: [fake.accepted(), fake.content("x"), FOREVER()]),
    "stream, in the prefill": (True, lambda: [fake.accepted(), FOREVER()]),
    "stream, in the queue": (True, lambda: [FOREVER()]),
    "whole, in the answer": (False, lambda: [fake.accepted(), fake.content("x"), FOREVER()]),
    "whole, in the queue": (False, lambda: [FOREVER()]),
}


async def ask_by_hand(url: str, body: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    port = int(url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    raw = json.dumps(body).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    writer.write(f"{head}content-length: {len(raw)}\r\n\r\n".encode() + raw)
    await writer.drain()
    return reader, writer


async def arrived(consensus: FakeConsensus) -> None:
    async with asyncio.timeout(5):
        await consensus.asked.wait()


@pytest.mark.parametrize("case", WAITING)
async def test_a_client_that_leaves_frees_its_slot_within_half_a_second(up: Running, case: str) -> None:
    stream, script = WAITING[case]
    up.consensus.script = script()
    reader, writer = await ask_by_hand(up.url, {**ASK, "stream": stream})
    await arrived(up.consensus)
    if case == "stream, in the answer":
        await reader.readuntil(b'"content":"x"')
    writer.close()
    async with asyncio.timeout(0.5):
        await up.consensus.cancelled.wait()


async def test_the_deadline_goes_along_and_ends_the_wait() -> None:
    async with running(request_timeout=0.3) as up:
        up.consensus.script = [FOREVER()]
        answer = await up.post(ASK)
        assert answer.status_code == 504
        assert Error.model_validate_json(answer.content).error.code == "timeout"
        up.consensus.script = [fake.accepted(), fake.content("x"), FOREVER()]
        answer = await up.post({**ASK, "stream": True})
        assert answer.status_code == 200
        assert json.loads(answer.text.rpartition("data: ")[2])["error"]["code"] == "timeout"
    # gRPC carries whole milliseconds, rounded up.
    assert 0 < round(up.consensus.time_remaining[0] or 0, 2) <= 0.3


async def test_answers_in_flight_are_finished_before_the_gateway_stops() -> None:
    go = asyncio.Event()
    async with running(drain=5) as up:
        up.consensus.script = [fake.accepted(), go, *fake.words("done")[1:]]
        asked = asyncio.create_task(up.post({**ASK, "stream": True}))
        await arrived(up.consensus)
        up.server.stop()
        go.set()
        answer = await asked
    assert "done" in answer.text
    assert answer.text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("stream", [True, False])
async def test_answers_that_outlast_the_drain_are_told(stream: bool) -> None:
    async with running(drain=0.1) as up:
        up.consensus.script = [fake.accepted(), FOREVER()]
        asked = asyncio.create_task(up.post({**ASK, "stream": stream}))
        await arrived(up.consensus)
        up.server.stop()
        answer = await asked
    assert answer.status_code == (200 if stream else 503)
    assert "the gateway is stopping" in answer.text


async def test_many_streams_at_once_do_not_mix(up: Running) -> None:
    up.consensus.answer = lambda request: fake.words(*[request.chat.messages[0].content] * 20)

    async def ask(client: openai.AsyncOpenAI, word: str) -> str:
        messages: list[Any] = [{"role": "user", "content": word}]
        stream = await client.chat.completions.create(model="tiny", messages=messages, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async with up.async_sdk as client:
        got = await asyncio.gather(*(ask(client, f"<{number}>") for number in range(16)))
    assert got == [f"<{number}>" * 20 for number in range(16)]


# --- whatever is sent -------------------------------------------------------------------------------------

leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=True)
    | st.text(max_size=8)
    | st.sampled_from(["user", "tool", "assistant", "function", "text", "auto", "\x00", "c1", "\ud800"])
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
)
KEYS = ["model", "messages", "stream", "stream_options", "tools", "tool_choice", "n", "stop", "seed", "swarm"]
PIECES = ["role", "content", "tool_calls", "tool_call_id", "name", "id", "type", "function", "arguments"]
message = st.dictionaries(st.sampled_from(PIECES), values, max_size=5)
bodies = st.one_of(
    values,
    st.dictionaries(st.sampled_from([*KEYS, "temperature", "max_tokens", "x"]), values, max_size=4).map(
        ASK.__or__
    ),
    st.lists(message, max_size=3).map(lambda messages: {**ASK, "messages": messages}),
    message.map(lambda tool: {**ASK, "tools": [{"type": "function", "function": tool}]}),
    values.map(
        lambda schema: {
            **ASK,
            "tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}],
        }
    ),
)
raw_bodies = st.binary(max_size=40) | bodies.map(lambda body: json.dumps(body).encode())


async def test_whatever_is_sent_gets_an_answer_or_a_named_error(up: Running) -> None:
    headers = {"content-type": "application/json"}

    def sweep() -> None:
        with httpx2.Client(base_url=up.url, headers=headers) as client:

            @settings(
                max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
            )
            @given(raw=raw_bodies)
            def send(raw: bytes) -> None:
                answer = client.post("/v1/chat/completions", content=raw)
                assert answer.status_code in (200, 400), answer.text
                if answer.status_code == 400:
                    Error.model_validate_json(answer.content)

            send()

    await asyncio.to_thread(sweep)

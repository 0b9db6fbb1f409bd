"""Tool calls and structured answers as OpenAI's SDK reads them off the wire."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from services.common.chat import (
    ContentDelta,
    FinishReason,
    ToolCallArguments,
    ToolCallEnded,
    ToolCallStarted,
)
from services.common.errors import unsupported
from swarm.common.v1 import chat_pb2
from swarm.consensus.v1 import consensus_pb2 as pb
from tests.fakes import consensus as fake
from tests.fakes.consensus import FakeConsensus
from tests.fakes.gateway import Running, gateway, running
from tests.fakes.swarm import swarm_of
from tests.fakes.worker import FakeWorker, done

ASK: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}]}


def tool(name: str, **properties: Any) -> Any:
    parameters = {
        "type": "object",
        "properties": properties,
        "required": [*properties],
        "additionalProperties": False,
    }
    return {"type": "function", "function": {"name": name, "strict": True, "parameters": parameters}}


WRITE = tool("write", path={"type": "string"}, content={"type": "string"})
READ = tool("read", path={"type": "string"})


@pytest.fixture
async def up() -> AsyncIterator[Running]:
    async with running() as started:
        yield started


async def streamed(up: Running, script: list[pb.DecideEvent], **asked: Any) -> list[Any]:
    up.consensus.script = script
    async with up.async_sdk as client:
        return [chunk async for chunk in await client.chat.completions.create(**ASK, **asked, stream=True)]


async def finally_(up: Running, script: list[pb.DecideEvent], **asked: Any) -> Any:
    """What the SDK's own accumulator makes of the stream."""
    up.consensus.script = script
    async with up.async_sdk as client, client.chat.completions.stream(**ASK, **asked) as stream:
        return (await stream.get_final_completion()).choices[0]


def pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def long_call() -> tuple[dict[str, str], list[pb.DecideEvent]]:
    lines = (f'if (a[{n}] == "}}{n}") {{ return "\\u2028é🎈</tool_call>"; }}\n' for n in range(2_000))
    given = {"path": "src/größe.c", "content": "".join(lines)}
    text = json.dumps(given, ensure_ascii=False)
    assert len(text) > 100_000
    script = [
        fake.accepted(),
        fake.started("call_long", "write"),
        *(fake.arguments(piece) for piece in pieces(text, 37)),
        fake.ended(),
        fake.finished("tool_calls"),
        fake.usage(),
    ]
    return given, script


async def test_long_arguments_come_in_pieces_of_one_call(up: Running) -> None:
    given, script = long_call()
    chunks = await streamed(up, script, tools=[WRITE])
    calls = [call for chunk in chunks for choice in chunk.choices for call in choice.delta.tool_calls or ()]
    first, rest = calls[0], calls[1:]
    assert (first.index, first.id, first.type) == (0, "call_long", "function")
    assert (first.function.name, first.function.arguments) == ("write", "")
    assert len(rest) > 1_000
    assert {(call.index, call.id, call.function.name) for call in rest} == {(0, None, None)}
    assert json.loads("".join(call.function.arguments for call in rest)) == given
    assert [choice.finish_reason for choice in chunks[-1].choices] == ["tool_calls"]


async def test_the_sdks_accumulator_puts_long_arguments_together(up: Running) -> None:
    given, script = long_call()
    choice = await finally_(up, script, tools=[WRITE])
    (call,) = choice.message.tool_calls
    assert (call.id, call.function.name, json.loads(call.function.arguments)) == ("call_long", "write", given)
    assert call.function.parsed_arguments == given


async def test_parallel_calls_each_have_an_index_and_an_id(up: Running) -> None:
    names = ["read", "write", "read"]
    texts = ['{"path": "a"}', '{"path": "b", "content": "}{"}', '{"path": "c"}']
    script = [fake.accepted()]
    for index, text in enumerate(texts):
        script.append(fake.started(f"call_{index}", names[index], index))
        script += [fake.arguments(piece, index) for piece in pieces(text, 5)]
        script.append(fake.ended(index))
    script += [fake.finished("tool_calls"), fake.usage()]
    choice = await finally_(up, script, tools=[READ, WRITE], parallel_tool_calls=True)
    calls = choice.message.tool_calls
    assert [call.id for call in calls] == ["call_0", "call_1", "call_2"]
    assert [call.function.name for call in calls] == names
    assert [call.function.arguments for call in calls] == texts
    chunks = await streamed(up, script, tools=[READ, WRITE])
    firsts = [
        (call.index, call.id)
        for chunk in chunks
        for choice in chunk.choices
        for call in choice.delta.tool_calls or ()
        if call.id
    ]
    assert firsts == [(0, "call_0"), (1, "call_1"), (2, "call_2")]


async def test_text_and_reasoning_beside_calls_are_kept(up: Running) -> None:
    script = [
        fake.accepted(),
        fake.reasoning("hm"),
        fake.content("I read "),
        fake.started("call_1", "read"),
        fake.arguments('{"path": "a"}'),
        fake.ended(),
        fake.content("and wait."),
        fake.finished("tool_calls"),
        fake.usage(),
    ]
    choice = await finally_(up, script, tools=[READ])
    assert choice.message.content == "I read and wait."
    assert choice.message.tool_calls[0].function.arguments == '{"path": "a"}'
    assert choice.finish_reason == "tool_calls"
    up.consensus.script = script
    async with up.async_sdk as client:
        whole: Any = (await client.chat.completions.create(**ASK, tools=[READ])).choices[0]
    assert (whole.message.content, whole.message.reasoning_content) == ("I read and wait.", "hm")
    assert [call.id for call in whole.message.tool_calls] == ["call_1"]


async def test_a_cut_off_call_ends_with_length(up: Running) -> None:
    script = [
        fake.accepted(),
        fake.started("call_1", "write"),
        fake.arguments('{"path": "a", "content": "half'),
        fake.finished("length"),
        fake.usage(),
    ]
    chunks = await streamed(up, script, tools=[WRITE])
    assert chunks[-1].choices[0].finish_reason == "length"


@pytest.mark.parametrize("constrained", [True, False])
async def test_long_arguments_walk_from_the_worker_to_the_client(tmp_path: Path, constrained: bool) -> None:
    """A grammar vouches for them: they come in the worker's pieces. None does: after they were checked."""
    given, script = long_call()
    told = [event.chat.tool_call_arguments.fragment for event in script]
    worker = FakeWorker("Zeus").script(
        [
            ContentDelta(0, "I write."),
            ToolCallStarted(0, 0, "call_long", "write"),
            *(ToolCallArguments(0, 0, fragment) for fragment in told if fragment),
            ToolCallEnded(0, 0),
            done(FinishReason.TOOL_CALLS, 9),
        ]
    )
    worker.constrained = constrained
    async with (
        worker.running(),
        swarm_of(tmp_path, worker) as swarm,
        gateway(swarm.address, FakeConsensus(), drain=0.2) as up,
        up.async_sdk as client,
        client.chat.completions.stream(**ASK, tools=[WRITE], extra_body={"swarm": {"voters": 1}}) as stream,
    ):
        pieces_seen = [event async for event in stream if event.type == "chunk"]
        choice = (await stream.get_final_completion()).choices[0]
    deltas = [each.delta for event in pieces_seen for each in event.chunk.choices]
    assert [delta.content for delta in deltas if delta.content] == ["I write."]
    assert (sum(bool(delta.tool_calls) for delta in deltas) > 1_000) is constrained
    assert choice.message.tool_calls is not None
    (call,) = choice.message.tool_calls
    assert (call.id, json.loads(call.function.arguments)) == ("call_long", given)
    assert choice.finish_reason == "tool_calls"


class Person(BaseModel):
    name: str
    age: int | None
    friends: list[str]


async def test_a_structured_answer_is_parsed_by_the_sdk(up: Running) -> None:
    up.consensus.script = fake.words('{"name": "Zoë", "age": null,', ' "friends": ["a", "b"]}')
    async with up.async_sdk as client:
        answer = await client.chat.completions.parse(**ASK, response_format=Person)
        async with client.chat.completions.stream(**ASK, response_format=Person) as stream:
            said = await stream.get_final_completion()
    wanted = Person(name="Zoë", age=None, friends=["a", "b"])
    assert answer.choices[0].message.parsed == said.choices[0].message.parsed == wanted
    for asked in up.consensus.requests:
        form = asked.chat.response_format
        assert form.kind == chat_pb2.ResponseFormat.KIND_JSON_SCHEMA
        assert json.loads(form.schema_json)["required"] == ["name", "age", "friends"]


async def test_a_strict_tools_arguments_are_parsed_by_the_sdk(up: Running) -> None:
    up.consensus.script = [
        fake.accepted(),
        fake.started("call_1", "Person"),
        fake.arguments('{"name": "Zoë", "age": 7, "friends": []}'),
        fake.ended(),
        fake.finished("tool_calls"),
        fake.usage(),
    ]
    async with up.async_sdk as client:
        answer = await client.chat.completions.parse(**ASK, tools=[openai.pydantic_function_tool(Person)])
    assert answer.choices[0].message.tool_calls is not None
    assert answer.choices[0].message.tool_calls[0].function.parsed_arguments == Person(
        name="Zoë", age=7, friends=[]
    )
    assert up.consensus.requests[0].chat.tools[0].strict


async def test_what_the_model_cannot_hold_to_is_a_bad_request_in_words(up: Running) -> None:
    up.consensus.script = [unsupported("grammar", "the model tiny has no vocabulary to hold to a grammar")]
    async with up.async_sdk as client:
        with pytest.raises(openai.BadRequestError, match="no vocabulary") as refused:
            await client.chat.completions.create(**ASK, extra_body={"grammar": 'root ::= "a"'})
    assert (refused.value.param, refused.value.code) == ("grammar", "unsupported_parameter")
    assert up.consensus.requests[0].chat.response_format.grammar == 'root ::= "a"'


async def test_calls_that_do_not_fit_are_marked_in_the_answer(up: Running) -> None:
    found = pb.InvalidCall(id="call_7", name="bash", problem="bash: 'command' is a required property")
    marked = pb.DecideEvent(
        ballots=pb.Ballots(strategy="best_worker", call_checks=pb.CallChecks(retried=True, invalid=[found]))
    )
    script = [
        fake.accepted(),
        fake.started("call_7", "bash"),
        fake.arguments("{}"),
        fake.ended(),
        fake.finished("tool_calls"),
        marked,
        fake.usage(),
    ]
    chunks = await streamed(up, script)
    assert chunks[-1].swarm["tool_calls"]["invalid"][0]["id"] == "call_7"
    up.consensus.script = script
    async with up.async_sdk as client:
        whole = await client.chat.completions.with_raw_response.create(**ASK)
    assert whole.headers["x-swarm-tool-calls"] == "invalid"
    answer: Any = whole.parse()
    assert answer.swarm["tool_calls"]["retried"] is True

"""A worker over the toy model: what it says is scripted, everything else is real."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pytest

from services.common.chat import (
    Accepted,
    CandidateFinished,
    ChatEvent,
    ChatRequest,
    ContentDelta,
    FinishReason,
    Message,
    ModelInfo,
    ReasoningDelta,
    Role,
    Sampling,
    Tool,
    ToolCallArguments,
    ToolCallEnded,
    ToolCallStarted,
    ToolChoice,
    ToolChoiceMode,
    Usage,
)
from services.common.errors import Reason, SwarmError
from services.inference_worker.backends.base import BackendFailure, Slice
from services.inference_worker.chat.formats import HERMES_JSON
from services.inference_worker.chat.template import ChatTemplate
from services.inference_worker.engine.loop import Engine
from services.inference_worker.engine.sampling import Recommendation
from services.inference_worker.models.tuning import Choices
from services.inference_worker.worker import Worker
from tests.fakes.backend import FakeBackend, ToyModel

TEMPLATE = (
    "{% for message in messages %}[{{ message.role }}] {{ message.content }}\n{% endfor %}"
    "{% for tool in tools or [] %}({{ tool.function.name }}){% endfor %}[assistant] "
)
READ = Tool(
    "read", "", '{"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}'
)
LIST = Tool("list")
CALL = '<tool_call>\n{"name": "read", "arguments": {"path": "a.txt"}}\n</tool_call>'
GREEDY = Sampling(temperature=0.0)


@contextmanager
def working(
    scripts: Mapping[str, str], backend: FakeBackend | None = None, context: int = 1000
) -> Iterator[Worker]:
    backend = backend or FakeBackend(sequences=8, cells=8192, batch=512)
    backend.model = ToyModel(scripts)
    engine = Engine(backend, context, queue=4)
    engine.start()
    try:
        worker = Worker(
            "Zeus",
            ModelInfo("toy", context, "hermes_json", 0),
            backend,
            engine,
            ChatTemplate(TEMPLATE, "", "", "toy"),
            HERMES_JSON,
            Recommendation(temperature=0.0),
            Choices(threads=1, batch=64, micro_batch=64, flash_attention=False, kv_type="f16", gpu_layers=0),
        )
        yield worker
    finally:
        engine.close(10)
        worker.close()


def asking(
    text: str = "go",
    tools: Sequence[Tool] = (READ, LIST),
    choice: ToolChoice | None = None,
    candidates: int = 1,
    parallel: bool = True,
    sampling: Sampling = GREEDY,
) -> ChatRequest:
    return ChatRequest(
        "toy",
        (Message(Role.USER, text),),
        tuple(tools),
        choice or ToolChoice(),
        parallel,
        sampling,
        candidates,
    )


async def ask(worker: Worker, request: ChatRequest) -> list[ChatEvent]:
    stream = await worker.chat(request)
    return [event async for event in stream.events()]


def calls(events: Sequence[ChatEvent], candidate: int = 0) -> list[tuple[str, str]]:
    """Name and arguments of every complete call."""
    names: dict[int, str] = {}
    arguments: dict[int, str] = {}
    whole: list[tuple[str, str]] = []
    for event in events:
        match event:
            case ToolCallStarted(number, index, _, name) if number == candidate:
                names[index], arguments[index] = name, ""
            case ToolCallArguments(number, index, fragment) if number == candidate:
                arguments[index] += fragment
            case ToolCallEnded(number, index) if number == candidate:
                whole.append((names[index], arguments[index]))
    return whole


def finish(events: Sequence[ChatEvent], candidate: int = 0) -> CandidateFinished:
    (found,) = [
        each for each in events if isinstance(each, CandidateFinished) and each.candidate == candidate
    ]
    return found


class TestEvents:
    async def test_a_call_comes_out_as_one(self) -> None:
        with working({"[assistant] ": CALL}) as worker:
            events = await ask(worker, asking())
        prompt = "[user] go\n(read)(list)[assistant] "
        assert events[0] == Accepted("toy", len(prompt), 1000, "Zeus", constrained=True)
        assert calls(events) == [("read", '{"path": "a.txt"}')]
        assert finish(events).reason is FinishReason.TOOL_CALLS
        assert events[-1] == Usage(len(prompt), 0, len(CALL) + 1, 0)
        assert not any(isinstance(each, ContentDelta) for each in events)

    async def test_how_sure_a_call_is_is_told_at_its_end(self) -> None:
        with working({"[assistant] ": f"Well. {CALL}"}) as worker:
            assert finish(await ask(worker, asking())).argument_logprob == -0.25
        with working({"[assistant] ": "Well."}) as worker:
            assert finish(await ask(worker, asking())).argument_logprob is None

    async def test_reasoning_is_counted(self) -> None:
        with working({"[assistant] ": "<think>hm</think>yes"}) as worker:
            events = await ask(worker, asking())
        assert "".join(e.text for e in events if isinstance(e, ReasoningDelta)) == "hm"
        assert "".join(e.text for e in events if isinstance(e, ContentDelta)) == "yes"
        done = finish(events)
        assert done.completion_tokens == len("<think>hm</think>yes") + 1
        assert len("hm</think>") - 1 <= done.reasoning_tokens <= len("<think>hm</think>") + 1
        last = events[-1]
        assert isinstance(last, Usage)
        assert last.reasoning_tokens == done.reasoning_tokens

    async def test_every_candidate_has_its_own_events(self) -> None:
        with working({"[assistant] ": CALL}) as worker:
            events = await ask(worker, asking(candidates=3))
        for candidate in range(3):
            assert calls(events, candidate) == [("read", '{"path": "a.txt"}')]
        ids = [each.id for each in events if isinstance(each, ToolCallStarted)]
        assert len(set(ids)) == 3
        last = events[-1]
        assert isinstance(last, Usage)
        assert last.completion_tokens == 3 * (len(CALL) + 1)

    async def test_a_call_that_is_cut_off_stays_cut_off(self) -> None:
        short = Sampling(temperature=0.0, max_tokens=len(CALL) - 20)
        with working({"[assistant] ": CALL}) as worker:
            events = await ask(worker, asking(sampling=short))
        assert calls(events) == []
        assert finish(events).reason is FinishReason.LENGTH

    async def test_one_call_is_enough_where_parallel_ones_are_not_wanted(self) -> None:
        both = CALL + "\n" + CALL.replace("a.txt", "b.txt") + "x" * 500
        with working({"[assistant] ": both}) as worker:
            events = await ask(worker, asking(parallel=False))
        assert calls(events) == [("read", '{"path": "a.txt"}')]
        done = finish(events)
        assert done.reason is FinishReason.TOOL_CALLS
        # It was not left to talk to the end.
        assert done.completion_tokens < len(both)


class TestToolChoice:
    async def test_none_hides_the_tools(self) -> None:
        with working({"[user] go\n[assistant] ": "no tools"}) as worker:
            events = await ask(worker, asking(choice=ToolChoice(ToolChoiceMode.NONE)))
        assert "".join(e.text for e in events if isinstance(e, ContentDelta)) == "no tools"

    async def test_required_begins_a_call(self) -> None:
        forced = HERMES_JSON.forced_prefix()
        rest = CALL.removeprefix(forced)
        assert rest != CALL
        with working({f"(read)(list)[assistant] {forced}": rest}) as worker:
            events = await ask(worker, asking(choice=ToolChoice(ToolChoiceMode.REQUIRED)))
        assert calls(events) == [("read", '{"path": "a.txt"}')]
        assert finish(events).reason is FinishReason.TOOL_CALLS
        # The beginning was given, so it was not generated.
        assert finish(events).completion_tokens == len(rest) + 1

    async def test_named_offers_that_tool_only_and_begins_its_call(self) -> None:
        forced = HERMES_JSON.forced_prefix("read", some_argument=True)
        rest = CALL.removeprefix(forced)
        assert rest != CALL
        with working({f"[user] go\n(read)[assistant] {forced}": rest}) as worker:
            events = await ask(worker, asking(choice=ToolChoice(ToolChoiceMode.NAMED, "read"), candidates=2))
        for candidate in range(2):
            assert calls(events, candidate) == [("read", '{"path": "a.txt"}')]

    async def test_reasoning_that_the_prompt_opened_is_closed_first(self) -> None:
        forced = HERMES_JSON.forced_prefix()
        rest = CALL.removeprefix(forced)
        with working({f"</think>\n\n{forced}": rest}) as worker:
            worker._template = ChatTemplate(TEMPLATE + "<think>\n", "", "", "toy")
            events = await ask(worker, asking(choice=ToolChoice(ToolChoiceMode.REQUIRED)))
        assert calls(events) == [("read", '{"path": "a.txt"}')]

    @pytest.mark.parametrize(
        "choice",
        [ToolChoice(ToolChoiceMode.REQUIRED), ToolChoice(ToolChoiceMode.NAMED, "read")],
    )
    async def test_a_call_without_tools_is_refused(self, choice: ToolChoice) -> None:
        with working({}) as worker, pytest.raises(SwarmError) as caught:
            await worker.chat(asking(tools=(), choice=choice))
        assert (caught.value.reason, caught.value.param) == (Reason.INVALID_FIELD, "tool_choice")

    async def test_a_schema_that_is_no_json_is_named(self) -> None:
        broken = Tool("read", "", "{")
        for choice in (ToolChoice(), ToolChoice(ToolChoiceMode.NAMED, "read")):
            with working({}) as worker, pytest.raises(SwarmError) as caught:
                await worker.chat(asking(tools=(broken,), choice=choice))
            assert caught.value.reason is Reason.INVALID_FIELD
            assert caught.value.param == "tools[0].function.parameters"


class TestLife:
    async def test_closing_the_stream_frees_everything(self) -> None:
        with working({}, context=8000) as worker:
            stream = await worker.chat(asking(candidates=3))
            events = stream.events()
            for _ in range(5):
                await anext(events)
            assert worker.waiting == 0
            stream.close()
            with pytest.raises(SwarmError) as caught:
                async for _ in events:
                    pass
            assert caught.value.reason is Reason.CANCELLED
            assert worker.status.cells_used == 0
            stream.close()

    async def test_a_lost_engine_is_told_in_the_stream(self) -> None:
        backend = FakeBackend(sequences=8, cells=8192, batch=512)

        def fail(slices: Sequence[Slice]) -> None:
            if slices[0].position > 60:
                raise BackendFailure("the device is gone")

        backend.before_decode = fail
        with working({}, backend) as worker:
            with pytest.raises(SwarmError) as caught:
                await ask(worker, asking())
            assert caught.value.reason is Reason.WORKER_LOST
            with pytest.raises(SwarmError) as caught:
                await worker.chat(asking())
            assert caught.value.reason is Reason.WORKER_LOST

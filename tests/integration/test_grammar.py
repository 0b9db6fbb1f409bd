"""llama.cpp with random weights, drawn hot, under a grammar: every call fits its tool's schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from services.common.chat import (
    CandidateFinished,
    ChatEvent,
    ChatRequest,
    ContentDelta,
    FinishReason,
    Message,
    ModelInfo,
    ResponseFormat,
    ResponseKind,
    Role,
    Sampling,
    Tool,
    ToolCallArguments,
    ToolCallEnded,
    ToolCallStarted,
    ToolChoice,
    ToolChoiceMode,
)
from services.inference_worker.backends.llama_cpp.backend import LlamaCppBackend
from services.inference_worker.backends.llama_cpp.options import LoadOptions
from services.inference_worker.chat.formats import FORMATS
from services.inference_worker.chat.template import ChatTemplate
from services.inference_worker.engine.loop import Engine
from services.inference_worker.engine.sampling import Recommendation
from services.inference_worker.models.tuning import Choices
from services.inference_worker.worker import Worker
from tests.fakes import tiny_gguf
from tests.unit.inference_worker.grammar.driver import TOOLS, Call, fits

CONTEXT = 4096
CHOICES = Choices(threads=1, batch=512, micro_batch=512, flash_attention=False, kv_type="f16", gpu_layers=0)
# One record of each style, and one whose answers have headers.
STYLES = ("hermes_json", "qwen3_coder_xml", "glm4", "kimi_k2", "gemma4", "lfm2", "tool_line", "harmony")
# Those whose opener is a token of the tiny model, so that it can be talked into opening calls by itself.
OPENED = ("hermes_json", "qwen3_coder_xml", "glm4")
WIDTH, REQUESTS = 8, 8  # candidates of one request, requests of one test: 64 seeded runs
# Bytes that end things: the tiny model prefers small letters to them.
ENDINGS = {'"': 4.0, "}": 4.0, "]": 4.0, ")": 4.0, "<": 3.0, "\n": 1.0, "|": 2.0, "\\": -2.0}


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaCppBackend]:
    path = tiny_gguf.write(tmp_path_factory.mktemp("models") / "tiny.gguf", context=CONTEXT)
    backend = LlamaCppBackend(
        LoadOptions(path, cells=4 * CONTEXT, sequences=WIDTH, batch=512, threads=1, gpu_layers=0)
    )
    yield backend
    backend.close()


@contextmanager
def working(backend: LlamaCppBackend, format: str) -> Iterator[Worker]:
    engine = Engine(backend, CONTEXT, queue=4)
    engine.start()
    worker = Worker(
        "Zeus",
        ModelInfo("tiny", CONTEXT, format, 0),
        backend,
        engine,
        ChatTemplate(tiny_gguf.CHATML, "", "", "tiny"),
        FORMATS[format],
        Recommendation(),
        CHOICES,
    )
    try:
        yield worker
    finally:
        engine.close(10)
        worker.close()


def asking(
    backend: LlamaCppBackend,
    seed: int,
    choice: ToolChoice | None = None,
    parallel: bool = True,
    tools: Sequence[Tool] = TOOLS,
    biases: dict[str, float] | None = None,
    limit: int = 400,
    **more: object,
) -> ChatRequest:
    wanted = {**ENDINGS, **(biases or {})}
    tokens = {text: backend.tokenize(text) for text in wanted}
    bias = sorted((tokens[text][0], by) for text, by in wanted.items() if len(tokens[text]) == 1)
    sampling = Sampling(
        temperature=1.2,
        top_p=1.0,
        top_k=0,
        min_p=0.0,
        seed=seed * WIDTH,
        max_tokens=limit,
        logit_bias=tuple(bias),
    )
    return ChatRequest(
        "tiny",
        (Message(Role.USER, "go"),),
        tuple(tools),
        choice or ToolChoice(),
        parallel,
        sampling,
        WIDTH,
        **more,  # type: ignore[arg-type]
    )


async def answers(worker: Worker, request: ChatRequest) -> list[list[ChatEvent]]:
    """The events of each candidate."""
    found: list[list[ChatEvent]] = [[] for _ in range(request.candidates)]
    async for event in (await worker.chat(request)).events():
        if hasattr(event, "candidate"):
            found[event.candidate].append(event)
    return found


def calls_of(events: Sequence[ChatEvent]) -> list[Call]:
    calls: list[Call] = []
    for event in events:
        match event:
            case ToolCallStarted(_, _, _, name):
                calls.append(Call(name))
            case ToolCallArguments(_, index, fragment):
                calls[index].arguments += fragment
            case ToolCallEnded(_, index):
                calls[index].ended = True
    return calls


def reason_of(events: Sequence[ChatEvent]) -> FinishReason:
    return next(event.reason for event in events if isinstance(event, CandidateFinished))


def text_of(events: Sequence[ChatEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, ContentDelta))


REQUIRED = ToolChoice(ToolChoiceMode.REQUIRED)


@pytest.mark.parametrize("format", STYLES)
async def test_one_call_that_must_come(backend: LlamaCppBackend, format: str) -> None:
    cut = 0
    with working(backend, format) as worker:
        for seed in range(REQUESTS):
            for events in await answers(worker, asking(backend, seed, REQUIRED, parallel=False)):
                (call,) = calls_of(events)
                assert text_of(events).strip() == ""
                if reason_of(events) is FinishReason.LENGTH:
                    cut += 1
                    continue
                assert reason_of(events) is FinishReason.TOOL_CALLS
                assert call.ended
                assert fits(TOOLS, call) == ""
    assert cut <= WIDTH * REQUESTS // 10


@pytest.mark.parametrize("format", OPENED)
async def test_calls_that_the_model_opens(backend: LlamaCppBackend, format: str) -> None:
    whole = 0
    with working(backend, format) as worker:
        for seed in range(REQUESTS):
            request = asking(backend, seed, biases={"<tool_call>": 6.0, "<|im_end|>": 4.0}, limit=200)
            for events in await answers(worker, request):
                for call in calls_of(events):
                    if call.ended:
                        whole += 1
                        assert fits(TOOLS, call) == ""
                    else:
                        assert reason_of(events) in (FinishReason.LENGTH, FinishReason.TOOL_CALLS)
    assert whole >= WIDTH * REQUESTS // 4


async def test_prose_is_what_it_was_without_tools_to_hold(backend: LlamaCppBackend) -> None:
    """The guide only listens: greedy answers are the same to the letter."""
    with working(backend, "hermes_json") as held, working(backend, "pythonic") as free:
        request = asking(backend, 0)
        request = ChatRequest(
            "tiny", request.messages, request.tools, sampling=Sampling(temperature=0.0, max_tokens=120)
        )
        (listened,) = await answers(held, request)
        (alone,) = await answers(free, request)
    assert text_of(listened) == text_of(alone)
    assert len(text_of(listened)) > 50


async def test_answers_to_a_schema(backend: LlamaCppBackend) -> None:
    schema = json.loads(TOOLS[1].parameters_json)
    wanted = ResponseFormat(ResponseKind.JSON_SCHEMA, json.dumps(schema))
    tool = (Tool("answer", "", json.dumps(schema)),)
    cut = 0
    with working(backend, "none") as worker:
        for seed in range(REQUESTS):
            request = asking(backend, seed, tools=(), response_format=wanted)
            for events in await answers(worker, request):
                if reason_of(events) is FinishReason.LENGTH:
                    cut += 1
                else:
                    assert fits(tool, Call("answer", text_of(events))) == ""
    assert cut <= WIDTH * REQUESTS // 10


async def test_answers_to_a_grammar(backend: LlamaCppBackend) -> None:
    wanted = ResponseFormat(ResponseKind.GBNF, grammar='root ::= "a" [0-9]{2} ("x" | "y")')
    with working(backend, "none") as worker:
        request = asking(backend, 3, tools=(), response_format=wanted)
        for events in await answers(worker, request):
            text = text_of(events)
            assert (text[0], text[1:3].isdecimal(), text[3:]) in (("a", True, "x"), ("a", True, "y"))
            assert reason_of(events) is FinishReason.STOP

"""An answer that goes on from tokens drawn elsewhere is the one that was begun there, at every position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest

from services.common.chat import (
    CandidateFinished,
    ChatEvent,
    ChatRequest,
    ContentDelta,
    DrawnToken,
    DrawnTokens,
    PrefillProgress,
    ReasoningDelta,
    ResponseFormat,
    ResponseKind,
    Sampling,
    TokenLogprob,
    TokenLogprobs,
    Usage,
)
from services.common.errors import Reason, SwarmError
from tests.fakes.backend import END, FakeBackend
from tests.unit.inference_worker.test_worker import CALL, GREEDY, ask, asking, calls, finish, working


@dataclass
class Said:
    """One candidate's answer, however it was cut into events; ids of calls aside."""

    content: str = ""
    reasoning: str = ""
    calls: Sequence[tuple[str, str]] = ()
    logprobs: list[TokenLogprob] = field(default_factory=list)
    drawn: list[DrawnToken] = field(default_factory=list)
    finished: CandidateFinished | None = None


def said(events: Sequence[ChatEvent], candidate: int = 0) -> Said:
    whole = Said(calls=calls(events, candidate), finished=finish(events, candidate))
    for event in events:
        match event:
            case ContentDelta(number, text) if number == candidate:
                whole.content += text
            case ReasoningDelta(number, text) if number == candidate:
                whole.reasoning += text
            case TokenLogprobs(number, told) if number == candidate:
                whole.logprobs += told
            case DrawnTokens(number, drawn) if number == candidate:
                whole.drawn += drawn
    return whole


def telling(asked: ChatRequest, response: ResponseFormat | None = None) -> ChatRequest:
    return replace(asked, tell_drawn_tokens=True, response_format=response or ResponseFormat())


JSON = ResponseFormat(ResponseKind.JSON_OBJECT)
CASES: dict[str, tuple[str, ChatRequest]] = {
    "words": ("one two three", telling(asking())),
    "characters of several bytes": ("naïve 日本語 🎉!", telling(asking())),
    "a stop string": ("one two three", telling(asking(sampling=replace(GREEDY, stop=("two t", "woe"))))),
    "a limit in held text": (
        "one two three",
        telling(asking(sampling=replace(GREEDY, stop=("two t",), max_tokens=7))),
    ),
    "reasoning": ("<think>hm, 日本</think>\n\nyes", telling(asking())),
    "a call that a grammar holds": ("I look.\n" + CALL, telling(asking())),
    "two calls": (f"{CALL}\n{CALL}", telling(asking())),
    "one call only": (f"{CALL}\n{CALL}", telling(asking(parallel=False))),
    "a response format": ('{"a": [1, 2]}', telling(asking(tools=()), JSON)),
    "log-probabilities": (
        "I <b>look</b> 日.\n" + CALL,
        telling(asking(sampling=replace(GREEDY, top_logprobs=2))),
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_at_every_position_the_answer_is_the_same(name: str) -> None:
    answer, asked = CASES[name]
    with working({"[assistant] ": answer}) as worker:
        events = await ask(worker, asked)
        whole = said(events)
        assert whole.drawn
        for position in range(len(whole.drawn) + 1):
            again = await ask(worker, replace(asked, resume=(tuple(whole.drawn[:position]),)))
            resumed = said(again)
            if name == "one call only":
                # What was drawn while nobody wanted more depends on when the engine heard of it.
                assert (resumed.calls, resumed.content) == (whole.calls, whole.content)
                continue
            assert resumed == whole, position
            usage, before = again[-1], events[-1]
            assert isinstance(usage, Usage)
            assert isinstance(before, Usage)
            assert replace(usage, cached_tokens=0) == replace(before, cached_tokens=0)


async def test_all_of_the_beginning_is_told_before_anything_is_drawn() -> None:
    """Whoever takes over knows from the first hand-over on that nothing is missing."""
    with working({"[assistant] ": "one two three"}) as worker:
        whole = said(await ask(worker, telling(asking())))
        again = await ask(worker, replace(telling(asking()), resume=(tuple(whole.drawn[:5]),)))
    told = [event for event in again if isinstance(event, DrawnTokens | ContentDelta)]
    assert isinstance(told[0], DrawnTokens)
    assert list(told[0].tokens[:5]) == whole.drawn[:5]
    progress = [event for event in again if isinstance(event, PrefillProgress)]
    assert progress[-1].done_tokens == progress[-1].total_tokens == len("[user] go\n(read)(list)[assistant] ")


async def test_nobody_is_told_tokens_who_does_not_ask() -> None:
    with working({"[assistant] ": "one"}) as worker:
        events = await ask(worker, asking())
    assert not any(isinstance(event, DrawnTokens) for event in events)


SEEDED = Sampling(temperature=1.0, seed=7, max_tokens=12)


async def test_seeded_candidates_go_on_each_with_its_own_chance() -> None:
    """At another worker, each from a place of its own, one of them from its beginning."""
    asked = telling(asking(sampling=SEEDED, candidates=3))
    with working({}) as worker:
        events = await ask(worker, asked)
    before = [said(events, candidate) for candidate in range(3)]
    assert len({each.content for each in before}) == 3
    places = (0, 5, 12)
    drawn = tuple(tuple(each.drawn[:place]) for each, place in zip(before, places, strict=True))
    backend = FakeBackend(sequences=8, cells=8192, batch=512)
    with working({}, backend) as worker:
        again = await ask(worker, replace(asked, resume=drawn))
    assert [said(again, candidate) for candidate in range(3)] == before
    # The prompt was computed once, for all of them.
    (computed,) = [batch for batch in backend.batches if any(len(each.tokens) > 12 for each in batch)]
    assert len(computed) == 1


async def test_penalties_hear_of_what_was_drawn_elsewhere() -> None:
    backend = FakeBackend(sequences=8, cells=8192, batch=512)
    with working({"[assistant] ": "one two"}, backend) as worker:
        prompt = "[user] go\n(read)(list)[assistant] "
        drawn = tuple(DrawnToken(token, -0.25) for token in b"one")
        await ask(worker, replace(asking(), resume=(drawn,)))
        assert bytes(backend.samplers[-1].observed) == prompt.encode() + b"one"


@pytest.mark.parametrize(
    "resume",
    [((), ()), ((DrawnToken(-1, 0.0),),), ((DrawnToken(END + 1, 0.0),),)],
    ids=["for two candidates", "below 0", "beyond the vocabulary"],
)
async def test_what_cannot_have_been_drawn_is_refused(
    resume: tuple[tuple[DrawnToken, ...], ...],
) -> None:
    with working({"[assistant] ": "one"}) as worker, pytest.raises(SwarmError) as caught:
        await worker.chat(replace(asking(), resume=resume))
    assert (caught.value.reason, caught.value.param) == (Reason.INVALID_FIELD, "resume")


async def test_what_a_grammar_does_not_allow_breaks_the_answer_off() -> None:
    with working({"[assistant] ": "{}"}) as worker:
        asked = telling(asking(tools=()), JSON)
        stream = await worker.chat(replace(asked, resume=((DrawnToken(ord("x"), 0.0),),)))
        with pytest.raises(SwarmError) as caught:
            async for _ in stream.events():
                pass
    assert caught.value.reason is Reason.INTERNAL


async def test_a_beginning_longer_than_a_reader_may_leave_lying_is_taken() -> None:
    """It comes in one piece, before the reader could have read any of it."""
    text = "x" * 600
    scripts: Mapping[str, str] = {"[assistant] ": text}
    with working(scripts, context=1000) as worker:
        worker._pending_limit = 100
        whole = [DrawnToken(ord("x"), -0.25)] * 590
        events = await ask(worker, replace(telling(asking()), resume=(tuple(whole),)))
    assert said(events).content == text

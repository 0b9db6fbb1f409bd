"""Rounds and elections among workers in memory, where the order of arrivals can be set exactly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

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
    Role,
    TokenLogprob,
    TokenLogprobs,
    Tool,
    ToolCallArguments,
    ToolCallEnded,
    ToolCallStarted,
    Usage,
)
from services.common.errors import Reason, SwarmError, context_length_exceeded
from services.consensus.canonical import Toolbox
from services.consensus.election import Election
from services.consensus.events import Ballots, DecideEvent, Spoken
from services.consensus.pulse import Pulse
from services.consensus.strategies.mbr import Mbr
from services.consensus.strategies.plurality import WeightedMajority
from services.consensus.strategies.tool_vote import ToolVote
from services.consensus.voting import Manner

FULL = SwarmError(Reason.QUEUE_FULL, "The queue is full.")
Step = ChatEvent | asyncio.Event | SwarmError


class Worker:
    """Plays its calls in order; `waits` is set when it comes to an event, `closed` when a call is left."""

    def __init__(self, name: str, *calls: Sequence[Step]) -> None:
        self.id = self.name = name
        self.models: Sequence[ModelInfo] = ()
        self.slots = 4
        self.in_flight = 0
        self.usable = True
        self.requests: list[ChatRequest] = []
        self.waits = asyncio.Event()
        self.closed = asyncio.Event()
        self._calls = list(calls)

    async def chat(self, request: ChatRequest, timeout: float) -> AsyncGenerator[ChatEvent, None]:
        self.requests.append(request)
        ended = False
        try:
            for step in self._calls.pop(0):
                if isinstance(step, asyncio.Event):
                    self.waits.set()
                    await step.wait()
                elif isinstance(step, SwarmError):
                    raise step
                else:
                    yield step
            ended = True
        finally:
            if not ended:
                self.closed.set()


def accepted(name: str = "w") -> Accepted:
    return Accepted("tiny", 20, 4096, name)


def call(candidate: int, command: str = "ls") -> list[Step]:
    return [
        ToolCallStarted(candidate, 0, f"id{candidate}", "bash"),
        ToolCallArguments(candidate, 0, f'{{"command": "{command}"}}'),
        ToolCallEnded(candidate, 0),
        CandidateFinished(candidate, FinishReason.TOOL_CALLS, 5),
    ]


def words(candidate: int, text: str = "Well.") -> list[Step]:
    return [ContentDelta(candidate, text), CandidateFinished(candidate, FinishReason.STOP, 2)]


def usage(cached: int = 0) -> Usage:
    return Usage(20, cached, 99)


def election(voters: int, *workers: Worker, round_timeout: float = 60.0) -> AsyncGenerator[DecideEvent, None]:
    loop = asyncio.get_running_loop()
    return Election(
        chat=ChatRequest("tiny", (Message(Role.USER, "go"),)),
        voters=voters,
        workers=lambda: workers,
        toolbox=Toolbox([Tool("bash")]),
        strategy=ToolVote(),
        last_strategy=ToolVote(takes_invalid=True),
        pulse=Pulse(60.0),
        round_timeout=round_timeout,
    ).events(loop.time() + 5.0)


def said(events: Sequence[DecideEvent]) -> list[ChatEvent]:
    return [event.event for event in events if isinstance(event, Spoken)]


def text(events: Sequence[DecideEvent]) -> str:
    return "".join(event.text for event in said(events) if isinstance(event, ContentDelta))


async def test_accepted_comes_first_even_if_lost_votes_settle_the_round_before_it() -> None:
    late = asyncio.Event()
    full = Worker("full", [FULL])
    free = Worker(
        "free", [late, accepted("free"), *words(0), usage()], [accepted("free"), *call(0), *call(1), usage()]
    )
    events = election(3, full, free)
    async with aclosing(events):
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.wait_for(full.closed.wait(), 1)
        done, _ = await asyncio.wait({waiting}, timeout=0.05)
        assert not done
        late.set()
        assert await waiting == Spoken(0, accepted("free"))
        rest = [event async for event in events]
    assert any(isinstance(event, ToolCallEnded) for event in said(rest))


@pytest.mark.parametrize("finished", [True, False])
async def test_whoever_takes_over_says_at_once_what_it_has_already(finished: bool) -> None:
    late, gate = asyncio.Event(), asyncio.Event()
    says = (
        [*words(0, "Here."), gate, usage()] if finished else [ContentDelta(0, "Here."), gate, *words(0, "!")]
    )
    leading, heir = Worker("leading", [late, FULL]), Worker("heir", [accepted("heir"), *says])
    third = Worker("third", [accepted(), asyncio.Event()])
    async with aclosing(election(3, leading, heir, third)) as events:
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.wait_for(heir.waits.wait(), 1)
        assert not waiting.done()
        late.set()
        assert await waiting == Spoken(0, accepted("heir"))
        assert await anext(events) == Spoken(0, ContentDelta(0, "Here."))


async def test_whoever_was_stopped_by_the_verdict_does_not_take_over() -> None:
    late = asyncio.Event()
    leading = Worker("leading", [late, FULL])
    slow = Worker("slow", [accepted("slow"), ContentDelta(0, "I th"), asyncio.Event()])
    others = [Worker(name, [accepted(name), *words(0, f"{name}."), usage()]) for name in "abc"]

    async def answer() -> list[DecideEvent]:
        return [event async for event in election(5, leading, slow, *others)]

    async with asyncio.timeout(2), asyncio.TaskGroup() as tasks:
        answered = tasks.create_task(answer())
        await slow.closed.wait()
        late.set()
    assert said(answered.result())[0] == accepted("a")
    assert text(answered.result()) == "a."


async def test_the_wait_for_votes_is_bounded_too_when_another_leads_a_further_round() -> None:
    late = asyncio.Event()
    leading = Worker("leading", [accepted(), *call(0, "a"), usage()], [late, FULL])
    heir = Worker("heir", [accepted(), *call(0, "b"), usage()], [accepted(), *words(0), late, usage()])
    third = Worker("third", [accepted(), *call(0, "c"), usage()], [accepted(), asyncio.Event()])

    async def answer() -> list[DecideEvent]:
        return [event async for event in election(3, leading, heir, third, round_timeout=0.05)]

    async with asyncio.timeout(2), asyncio.TaskGroup() as tasks:
        answered = tasks.create_task(answer())
        await heir.waits.wait()
        late.set()
    assert "did not agree" in text(answered.result())


async def test_the_leader_ends_its_sentence_although_the_call_is_decided() -> None:
    gate = asyncio.Event()
    worker = Worker(
        "w", [accepted(), ContentDelta(0, "I will "), *call(1), *call(2), gate, *words(0, "not."), usage()]
    )
    async with aclosing(election(3, worker)) as events:
        assert [await anext(events) for _ in range(2)][1] == Spoken(0, ContentDelta(0, "I will "))
        waiting = asyncio.ensure_future(anext(events))
        done, _ = await asyncio.wait({waiting}, timeout=0.05)
        assert not done
        gate.set()
        rest = [await waiting, *[event async for event in events]]
    assert text(rest) == "not."
    assert [type(event) for event in said(rest)][1:4] == [ToolCallStarted, ToolCallArguments, ToolCallEnded]


async def test_log_probabilities_are_those_of_the_candidate_that_is_heard() -> None:
    def told(candidate: int, text: str) -> list[Step]:
        logprobs = TokenLogprobs(candidate, (TokenLogprob(text.encode(), -1.0 - candidate),))
        return [logprobs, ContentDelta(candidate, text)]

    spoken = [CandidateFinished(candidate, FinishReason.STOP, 1) for candidate in range(3)]
    worker = Worker(
        "w", [accepted(), *told(1, "b"), *told(0, "a"), *told(2, "c"), *told(0, "!"), *spoken, usage()]
    )
    events = said([event async for event in election(3, worker)])
    assert [event for event in events if isinstance(event, TokenLogprobs | ContentDelta)] == [
        *told(0, "a"),
        *told(0, "!"),
    ]


async def test_whoever_takes_over_tells_its_log_probabilities_too() -> None:
    late = asyncio.Event()
    logprobs = TokenLogprobs(0, (TokenLogprob(b"Here.", -1.0),))
    heir = Worker("heir", [accepted("heir"), logprobs, ContentDelta(0, "Here."), asyncio.Event()])
    leading, third = Worker("leading", [late, FULL]), Worker("third", [accepted(), asyncio.Event()])
    async with aclosing(election(3, leading, heir, third)) as events:
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.wait_for(heir.waits.wait(), 1)
        late.set()
        assert await waiting == Spoken(0, accepted("heir"))
        assert [await anext(events) for _ in range(2)] == [
            Spoken(0, logprobs),
            Spoken(0, ContentDelta(0, "Here.")),
        ]


async def test_a_leader_that_has_begun_its_own_call_is_not_waited_for() -> None:
    begun: list[Step] = [ContentDelta(0, "Wait."), ToolCallStarted(0, 0, "id0", "bash")]
    worker = Worker("w", [accepted(), *begun, *call(1), *call(2), asyncio.Event()])
    events = [event async for event in election(3, worker)]
    assert text(events) == "Wait."
    assert ToolCallStarted(0, 0, "id1", "bash") in said(events)
    assert worker.closed.is_set()


async def test_the_others_are_stopped_while_the_leader_still_speaks() -> None:
    gate = asyncio.Event()
    leading = Worker(
        "leading", [accepted(), ContentDelta(0, "So "), *words(1), *words(2), gate, *words(0, "on."), usage()]
    )
    other = Worker("other", [accepted(), *words(0), asyncio.Event()])
    async with aclosing(election(5, leading, other)) as events:
        gathered = [await anext(events), await anext(events)]
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.wait_for(other.closed.wait(), 1)
        assert not waiting.done()
        gate.set()
        gathered += [await waiting, *[event async for event in events]]
    assert text(gathered) == "So on."


async def test_shown_prose_is_never_begun_anew_on_a_spare_worker() -> None:
    lost = SwarmError(Reason.WORKER_LOST, "gone")
    leading = Worker("leading", [accepted(), ContentDelta(0, "Once"), lost])
    second = Worker("second", [accepted(), asyncio.Event()])
    spare = Worker("spare", [accepted(), *words(0)])
    async with aclosing(election(2, leading, second, spare)) as events:
        assert text([await anext(events), await anext(events)]) == "Once"
        with pytest.raises(SwarmError) as caught:
            await anext(events)
    assert caught.value.reason is Reason.WORKER_LOST
    assert spare.requests == []
    assert second.closed.is_set()


async def test_unshown_candidates_begin_anew_on_a_spare_worker() -> None:
    lost = SwarmError(Reason.WORKER_LOST, "gone")
    leading = Worker("leading", [accepted(), ToolCallStarted(0, 0, "x", "bash"), lost])
    second = Worker("second", [accepted(), *call(0), usage()])
    spare = Worker("spare", [accepted(), *call(0), usage()])
    events = [event async for event in election(2, leading, second, spare)]
    assert said(events).count(accepted()) == 1
    (ballots,) = [event for event in events if isinstance(event, Ballots)]
    assert ([each.worker for each in ballots.ballots], ballots.round) == (["spare", "second"], 1)


@pytest.mark.parametrize("voters", [1, 2])
async def test_what_is_wrong_with_the_request_is_not_tried_elsewhere(voters: int) -> None:
    error = context_length_exceeded(9000, 4096)
    workers = [Worker(str(number), [error]) for number in range(voters)]
    spare = Worker("spare", [accepted(), *words(0)])
    with pytest.raises(SwarmError) as caught:
        _ = [event async for event in election(voters, *workers, spare)]
    assert caught.value == error
    assert spare.requests == []


async def test_the_prompt_is_charged_as_the_first_round_found_it() -> None:
    worker = Worker(
        "w",
        [accepted(), *call(0, "a"), *call(1, "b"), usage(cached=3)],
        [accepted(), *call(0, "c"), *call(1, "c"), usage(cached=19)],
    )
    events = [event async for event in election(2, worker)]
    assert said(events)[-1] == Usage(20, 3, 5, 0)


async def test_the_prompt_is_charged_also_when_the_leader_has_just_moved() -> None:
    moved = Worker("moved", [accepted("moved"), SwarmError(Reason.WORKER_LOST, "gone")])
    spare = Worker("spare", [asyncio.Event()])
    others = [Worker(name, [accepted(name), *call(0), asyncio.Event()]) for name in "ab"]
    events = [event async for event in election(3, moved, *others, spare)]
    assert said(events)[-1] == Usage(20, 0, 5, 0)


async def test_a_second_round_that_cannot_be_held_ends_in_words_that_say_why() -> None:
    worker = Worker("w", [accepted(), *call(0, "a"), *call(1, "b"), usage()], [FULL])
    events = [event async for event in election(2, worker)]
    assert "could not be held: The queue is full." in text(events)
    (ballots,) = [event for event in events if isinstance(event, Ballots)]
    assert (ballots.round, ballots.decided) == (1, False)


async def test_a_candidate_that_nobody_asked_for_makes_its_worker_lost() -> None:
    worker = Worker("w", [accepted(), *words(7)])
    with pytest.raises(SwarmError, match="candidate 7, which nobody asked for") as caught:
        _ = [event async for event in election(2, worker)]
    assert caught.value.reason is Reason.WORKER_LOST


async def test_a_worker_that_answers_without_accepting_is_lost() -> None:
    worker = Worker("w", [*words(0), *words(1), asyncio.Event()])
    async with asyncio.timeout(2):
        with pytest.raises(SwarmError, match="without accepting the request") as caught:
            _ = [event async for event in election(2, worker)]
    assert caught.value.reason is Reason.WORKER_LOST


async def test_where_nothing_is_shown_a_lost_leader_takes_nothing_with_it() -> None:
    late = asyncio.Event()
    leading = Worker(
        "leading", [accepted(), ContentDelta(0, "Half"), late, SwarmError(Reason.WORKER_LOST, "")]
    )
    others = [Worker(name, [accepted(name), *words(0, "Same."), usage()]) for name in "ab"]
    spare = Worker("spare", [accepted("spare"), *words(0, "Other."), usage()])
    loop = asyncio.get_running_loop()
    hidden = Election(
        chat=ChatRequest("tiny", (Message(Role.USER, "go"),)),
        voters=3,
        workers=lambda: (leading, *others, spare),
        toolbox=Toolbox([]),
        strategy=Mbr(),
        last_strategy=Mbr(takes_invalid=True),
        pulse=Pulse(60.0),
        round_timeout=60.0,
        manner=Manner(shows=False),
    )
    async with aclosing(hidden.events(loop.time() + 5.0)) as events:
        assert isinstance((await anext(events)), Spoken)
        late.set()
        rest = [event async for event in events]
    assert text(rest) == "Same."
    (told,) = [event for event in rest if isinstance(event, Ballots)]
    # It began anew elsewhere, for the client had seen nothing of it.
    assert [each.worker for each in told.ballots] == ["spare", "a", "b"]
    assert [each.won for each in told.ballots] == [False, True, True]


async def test_votes_weigh_what_their_workers_have_earned() -> None:
    workers = [Worker(name, [accepted(name), *words(0, f"answer: {name}"), usage()]) for name in "abc"]
    loop = asyncio.get_running_loop()
    weighed = Election(
        chat=ChatRequest("tiny", (Message(Role.USER, "go"),)),
        voters=3,
        workers=lambda: workers,
        toolbox=Toolbox([]),
        strategy=WeightedMajority(),
        last_strategy=WeightedMajority(takes_invalid=True),
        pulse=Pulse(60.0),
        round_timeout=60.0,
        manner=Manner(shows=False, weigh={"a": 0.4, "b": 2.0, "c": -1.0}.__getitem__),
    )
    events = [event async for event in weighed.events(loop.time() + 5.0)]
    assert text(events) == "answer: b"
    (told,) = [event for event in events if isinstance(event, Ballots)]
    assert [each.weight for each in told.ballots] == [0.4, 2.0, -1.0]

"""Workers die at every place of an answer; others that have the same model go on where they were."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from random import Random

import pytest

from services.common.chat import (
    Accepted,
    CandidateFinished,
    ChatEvent,
    ChatRequest,
    ContentDelta,
    DrawnToken,
    DrawnTokens,
    FinishReason,
    Message,
    ModelInfo,
    PrefillProgress,
    ReasoningDelta,
    Role,
    Sampling,
    TokenLogprob,
    TokenLogprobs,
    ToolCallArguments,
    ToolCallEnded,
    ToolCallStarted,
    Usage,
)
from services.common.errors import Reason, SwarmError
from services.consensus.drafts import CandidateEvent, Draft
from services.consensus.failover import Transcript, can_go_on
from services.consensus.fanout import MOVES, Fanout
from services.consensus.lanes import Arrival, Closed, Lost, Moved, Piece, Prompted, Resumed
from services.consensus.routing import Share

GONE = SwarmError(Reason.UNAVAILABLE, "the connection was closed")


def answer(seed: int) -> list[list[CandidateEvent]]:
    """What each token of an answer becomes: nothing at first where it is held back, then several things."""
    random = Random(seed)
    steps: list[list[CandidateEvent]] = [
        [] if place % 2 else [ReasoningDelta(0, f"r{place} ")] for place in range(random.randrange(3, 9))
    ]
    for place in range(random.randrange(2, 7)):
        told = TokenLogprobs(0, (TokenLogprob(b"c", -float(place)),))
        steps.append([told, ContentDelta(0, "naïve " if place else "日")])
    for index in range(random.randrange(3)):
        steps.append([])
        steps.append([ToolCallStarted(0, index, "", "bash"), ToolCallArguments(0, index, '{"a"')])
        steps += [[ToolCallArguments(0, index, ": 1")], [], [ToolCallArguments(0, index, "}")]]
        steps.append([ToolCallEnded(0, index)])
    steps.append([CandidateFinished(0, FinishReason.STOP, len(steps) + 1, 0, -1.0)])
    return steps


class Speaker:
    """A worker that gives `answers`, one for each candidate, from their beginning also when it goes on.

    It dies when it has sent so many events, of one call, as `deaths` say, call by call.
    """

    def __init__(
        self,
        name: str,
        answers: Sequence[Sequence[Sequence[CandidateEvent]]],
        deaths: Iterable[int] = (),
        fingerprint: str = "f",
        prompt: int = 20,
        seed: int = 0,
    ) -> None:
        self.id = self.name = name
        self.models: Sequence[ModelInfo] = (ModelInfo("tiny", 4096, "", 0, fingerprint=fingerprint),)
        self.slots = 4
        self.in_flight = 0
        self.usable = True
        self.requests: list[ChatRequest] = []
        self._answers = answers
        self._deaths = list(deaths)
        self._prompt = prompt
        self._random = Random(seed)

    async def chat(self, request: ChatRequest, timeout: float) -> AsyncGenerator[ChatEvent, None]:
        self.requests.append(request)
        left = self._deaths.pop(0) if self._deaths else -1
        for event in self._events(request):
            if left == 0:
                raise GONE
            left -= 1
            yield event
            await asyncio.sleep(0)

    def _events(self, request: ChatRequest) -> Iterable[ChatEvent]:
        yield Accepted("tiny", self._prompt, 4096, self.name)
        yield PrefillProgress(self._prompt, self._prompt)
        places = [0] * request.candidates
        for drawn in request.resume:
            assert [token.id for token in drawn] == list(range(len(drawn)))
        while unfinished := [each for each, at in enumerate(places) if at < len(self._answers[each])]:
            candidate = self._random.choice(unfinished)
            start = places[candidate]
            known = len(request.resume[candidate]) if request.resume else 0
            # What was drawn elsewhere comes at once.
            end = max(start + self._random.randrange(1, 4), known)
            steps = self._answers[candidate][start:end]
            places[candidate] = start + len(steps)
            if request.tell_drawn_tokens:
                tokens = tuple(DrawnToken(start + place, -1.0) for place in range(len(steps)))
                yield DrawnTokens(candidate, tokens)
            for event in merged([event for step in steps for event in step]):
                event = replace(event, candidate=candidate)
                if isinstance(event, ToolCallStarted):
                    event = replace(event, id=f"{self.name} {len(self.requests)} {event.index}")
                yield event
        yield Usage(self._prompt, 0, sum(map(len, self._answers)))


def merged(events: Sequence[CandidateEvent]) -> list[CandidateEvent]:
    """Neighbouring pieces of one text in one."""
    result: list[CandidateEvent] = []
    for event in events:
        match result[-1] if result else None, event:
            case ContentDelta(_, head), ContentDelta(_, tail):
                result[-1] = ContentDelta(0, head + tail)
            case ReasoningDelta(_, head), ReasoningDelta(_, tail):
                result[-1] = ReasoningDelta(0, head + tail)
            case _:
                result.append(event)
    return result


@dataclass
class Heard:
    arrivals: list[Arrival]

    def draft(self, candidate: int = 0) -> Draft:
        draft = Draft(candidate, "")
        for arrival in self.arrivals:
            if isinstance(arrival, Moved):
                draft = Draft(candidate, "")
            if isinstance(arrival, Piece) and arrival.event.candidate == candidate:
                draft.add(arrival.event)
        return draft

    def all(self, kind: type[Arrival]) -> list[Arrival]:
        return [each for each in self.arrivals if isinstance(each, kind)]

    def same_as(self, steps: Sequence[Sequence[CandidateEvent]], candidate: int = 0) -> None:
        whole = Draft(candidate, "")
        for event in (event for step in steps for event in step):
            whole.add(replace(event, candidate=candidate))
        heard = self.draft(candidate)
        assert (heard.content, heard.reasoning) == (whole.content, whole.reasoning)
        assert [replace(each, id="") for each in heard.calls] == list(whole.calls)
        assert heard.finished == whole.finished
        assert list(heard.said()) == list(whole.said())
        once = (ToolCallStarted, ToolCallEnded, CandidateFinished)
        told = [each.event for each in self.arrivals if isinstance(each, Piece)]
        heard_once = [type(each) for each in told if each.candidate == candidate and isinstance(each, once)]
        wanted = [type(event) for step in steps for event in step if isinstance(event, once)]
        assert heard_once == wanted


async def hear(
    shares: Sequence[Share[Speaker]],
    spares: Sequence[Speaker] = (),
    show: bool = True,
    request: ChatRequest | None = None,
) -> Heard:
    """Reads to the end; with `show` all that comes goes to the client."""
    asked = request or ChatRequest("tiny", (Message(Role.USER, "go"),))
    heard = Heard([])
    async with (
        asyncio.timeout(5.0),
        Fanout(asked, shares, spares, asyncio.get_running_loop().time() + 5.0) as fanout,
    ):
        over = 0
        while over < len(shares):
            arrival = await fanout.next(None)
            assert arrival is not None
            heard.arrivals.append(arrival)
            if show and isinstance(arrival, Piece):
                fanout.show(arrival.event.candidate)
            over += isinstance(arrival, Closed | Lost)
    return heard


class TestOneCandidate:
    @pytest.mark.parametrize("seed", range(12))
    async def test_wherever_the_worker_dies_nothing_is_lost_or_said_twice(self, seed: int) -> None:
        steps = answer(seed)
        events = list(
            Speaker("", [steps], seed=seed)._events(ChatRequest("tiny", (), tell_drawn_tokens=True))
        )
        for place in range(1, len(events) + 1):
            dying = Speaker("Dying", [steps], [place], seed=seed)
            heir = Speaker("Heir", [steps], seed=seed + place)
            heard = await hear([Share(dying, 0, 1)], [heir])
            heard.same_as(steps)
            # Accepted was told once, unless nothing had been drawn.
            accepted = [each for each in heard.all(Prompted) if isinstance(each.event, Accepted)]  # type: ignore[union-attr]
            assert len(accepted) == 1 + len(heard.all(Moved))
            # It began with the tokens that had come, or there were none.
            told = [event.tokens for event in events[:place] if isinstance(event, DrawnTokens)]
            # Where only the usage was missing, nobody went on.
            if told and place < len(events) - 1:
                assert heir.requests[0].resume == (tuple(chain.from_iterable(told)),)
                assert heard.all(Resumed)

    @pytest.mark.parametrize("seed", range(8))
    async def test_the_one_who_goes_on_may_die_too_but_no_third(self, seed: int) -> None:
        steps, random = answer(seed), Random(seed)
        workers = [Speaker(f"w{each}", [steps], [random.randrange(3, 12)], seed=each) for each in range(4)]
        workers[MOVES] = Speaker("last", [steps], seed=seed)
        heard = await hear([Share(workers[0], 0, 1)], workers[1:])
        heard.same_as(steps)
        dying = [Speaker(f"w{each}", [steps], [4], seed=each) for each in range(5)]
        heard = await hear([Share(dying[0], 0, 1)], dying[1:])
        (lost,) = heard.all(Lost)
        assert isinstance(lost, Lost)
        assert lost.candidates == (0,)
        assert [len(each.requests) for each in dying] == [1, 1, 1, 0, 0]

    async def test_the_ids_of_calls_that_were_told_stand(self) -> None:
        steps: list[list[CandidateEvent]] = [
            [ToolCallStarted(0, 0, "", "bash"), ToolCallArguments(0, 0, "{")],
            [ToolCallArguments(0, 0, "}"), ToolCallEnded(0, 0)],
            [ToolCallStarted(0, 1, "", "bash"), ToolCallArguments(0, 1, "{}"), ToolCallEnded(0, 1)],
            [CandidateFinished(0, FinishReason.TOOL_CALLS, 4)],
        ]
        heard = await hear([Share(Speaker("Dying", [steps], [5]), 0, 1)], [Speaker("Heir", [steps])])
        heard.same_as(steps)
        assert [call.id for call in heard.draft().calls] == ["Dying 1 0", "Heir 1 1"]

    async def test_another_model_is_no_heir_once_something_was_shown(self) -> None:
        steps = answer(1)
        for fingerprint in ("g", ""):
            other = Speaker("Other", [steps], fingerprint=fingerprint)
            dying = Speaker("Dying", [steps], [5], fingerprint=fingerprint and "f")
            heard = await hear([Share(dying, 0, 1)], [other])
            assert heard.all(Lost)
            assert not other.requests
            # It is not even told what was drawn: nobody could use it.
            assert not dying.requests[0].tell_drawn_tokens

    async def test_another_model_begins_anew_if_nothing_was_shown(self) -> None:
        dying = Speaker("Dying", [answer(1)], [5])
        other = Speaker("Other", [answer(2)], fingerprint="g")
        heard = await hear([Share(dying, 0, 1)], [other], show=False)
        assert len(heard.all(Moved)) == 1
        heard.same_as(answer(2))

    async def test_who_has_another_prompt_does_not_go_on(self) -> None:
        """Its notes on tools may be others, so its tokens would mean something else."""
        steps = answer(1)
        other = Speaker("Other", [steps], prompt=21)
        good = Speaker("Good", [steps])
        heard = await hear([Share(Speaker("Dying", [steps], [5]), 0, 1)], [other, good])
        heard.same_as(steps)
        assert [len(each.requests) for each in (other, good)] == [1, 1]

    async def test_who_says_something_else_is_found_out(self) -> None:
        steps = answer(1)
        liar = Speaker("Liar", [[[ReasoningDelta(0, "other")], *steps[1:]]])
        good = Speaker("Good", [steps])
        heard = await hear([Share(Speaker("Dying", [steps], [6]), 0, 1)], [liar, good])
        heard.same_as(steps)
        assert len(good.requests) == 1

    async def test_what_is_wrong_with_the_request_is_not_tried_elsewhere(self) -> None:
        class Refusing(Speaker):
            async def chat(self, request: ChatRequest, timeout: float) -> AsyncGenerator[ChatEvent, None]:
                yield Accepted("tiny", 20, 4096, self.name)
                yield DrawnTokens(0, (DrawnToken(0, -1.0),))
                raise SwarmError(Reason.DEADLINE_EXCEEDED, "time was over")

        heir = Speaker("Heir", [answer(1)])
        heard = await hear([Share(Refusing("Late", []), 0, 1)], [heir])
        assert heard.all(Lost)
        assert not heir.requests


class TestSeveralCandidates:
    @pytest.mark.parametrize("seed", range(12))
    async def test_they_stay_together_with_those_that_have_finished(self, seed: int) -> None:
        answers = [answer(seed + each) for each in range(3)]
        for place in range(1, 40, 3):
            dying = Speaker("Dying", answers, [place], seed=seed)
            heir = Speaker("Heir", answers, seed=seed + 1)
            heard = await hear([Share(dying, 0, 3)], [heir])
            for candidate, steps in enumerate(answers):
                heard.same_as(steps, candidate)

    async def test_a_share_goes_to_the_idlest_worker_that_has_one_when_nobody_is_spare(self) -> None:
        answers = [answer(each) for each in range(2)]
        dying = Speaker("Dying", answers, [6])
        busy, idle = Speaker("Busy", answers), Speaker("Idle", answers)
        busy.in_flight = 3
        shares = [Share(dying, 0, 2), Share(busy, 2, 2), Share(idle, 4, 2)]
        seeded = ChatRequest("tiny", (Message(Role.USER, "go"),), sampling=Sampling(seed=5))
        heard = await hear(shares, request=seeded)
        for candidate in range(6):
            heard.same_as(answers[candidate % 2], candidate)
        (moved,) = heard.all(Resumed)
        assert isinstance(moved, Resumed)
        assert moved.lane.worker is idle
        assert [len(each.requests) for each in (dying, busy, idle)] == [1, 1, 2]
        # Who goes on draws with the seeds of those that it goes on with.
        assert [each.requests[-1].sampling.seed for each in (dying, idle)] == [5, 5]

    async def test_a_spare_worker_takes_one_share_before_others_are_asked(self) -> None:
        steps = answer(1)
        dying = [Speaker(f"Dying {each}", [steps], [5 + each]) for each in range(2)]
        spare, idle = Speaker("Spare", [steps]), Speaker("Idle", [steps])
        spare.in_flight = 3
        heard = await hear([Share(each, at, 1) for at, each in enumerate([*dying, idle])], [spare])
        for candidate in range(3):
            heard.same_as(steps, candidate)
        assert [len(each.requests) for each in (spare, idle)] == [1, 2]

    async def test_one_that_is_away_is_not_asked(self) -> None:
        steps = answer(1)
        away, good = Speaker("Away", [steps]), Speaker("Good", [steps])
        away.usable = False
        heard = await hear([Share(Speaker("Dying", [steps], [5]), 0, 1)], [away, good])
        heard.same_as(steps)
        assert not away.requests


@pytest.mark.parametrize("seed", range(20))
def test_a_transcript_passes_on_each_thing_once_however_it_is_cut(seed: int) -> None:
    """Text that is told again in other pieces, from the beginning, as often as somebody takes over."""
    random = Random(seed)
    text = "".join(random.choice("ab日") for _ in range(60))
    transcript = Transcript()
    heard = ""
    for end in [*sorted(random.sample(range(1, 60), 3)), 60]:
        transcript.rewind()
        cuts = sorted({0, end, *(random.randrange(end) for _ in range(5))})
        for start, stop in pairwise(cuts):
            fresh = transcript.fresh(ContentDelta(0, text[start:stop]))
            heard += fresh.text if isinstance(fresh, ContentDelta) else ""
        assert heard == text[:end]


def test_an_end_before_all_was_repeated_is_an_error() -> None:
    transcript = Transcript()
    transcript.fresh(ContentDelta(0, "one two"))
    transcript.rewind()
    transcript.fresh(ContentDelta(0, "one"))
    with pytest.raises(SwarmError) as caught:
        transcript.fresh(CandidateFinished(0, FinishReason.STOP, 2))
    assert caught.value.reason is Reason.WORKER_LOST


def test_who_can_go_on() -> None:
    def model(fingerprint: str, context: int = 4096, name: str = "tiny") -> tuple[ModelInfo, ...]:
        return (ModelInfo(name, context, "", 0, fingerprint=fingerprint),)

    assert can_go_on("tiny", model("f"), model("f"), 4096)
    assert not can_go_on("tiny", model("f"), model("g"), 4096)
    assert not can_go_on("tiny", model(""), model(""), 4096)
    assert not can_go_on("tiny", model("f"), model("f", 2048), 4096)
    assert not can_go_on("tiny", model("f"), model("f", name="other"), 4096)

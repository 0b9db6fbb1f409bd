"""Without a vote: every candidate is a choice, and all of it streams through as it comes.

All but calls that may be wrong: where no grammar holds them, they wait until their candidate has ended. If
they do not fit their tools' schemas, the model is told so and asked once more; then they are passed on.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import replace

from services.common.chat import (
    Accepted,
    CandidateFinished,
    ChatEvent,
    ChatRequest,
    PrefillProgress,
    ReasoningDelta,
    ToolCallArguments,
    ToolCallEnded,
    ToolCallStarted,
)
from services.consensus.ballots import unanimous
from services.consensus.canonical import Toolbox
from services.consensus.drafts import CandidateEvent, Draft
from services.consensus.emission import closing
from services.consensus.events import CallChecks, DecideEvent, Heartbeat, InvalidCall, Spoken
from services.consensus.fanout import Fanout, worker_lost
from services.consensus.lanes import Closed, Lane, Lost, Moved, Piece, Prompted, Resumed
from services.consensus.pulse import Pulse
from services.consensus.second_answer import SecondAnswer
from services.consensus.second_chance import Fault, checks, correction, faults, worth_asking

STRATEGY = "best_worker"

# One candidate, numbered so, for a request that corrects the one before.
AskAgain = Callable[[ChatRequest, int], Fanout]


class Direct:
    """Of a fan-out with one lane: read `events` once."""

    def __init__(
        self, chat: ChatRequest, fanout: Fanout, toolbox: Toolbox, pulse: Pulse, again: AskAgain
    ) -> None:
        (self._lane,) = fanout.lanes
        self._chat = chat
        self._fanout = fanout
        self._toolbox = toolbox
        self._pulse = pulse
        self._again = again
        self._drafts: dict[int, Draft] = {}
        self._told: list[CandidateFinished] = []
        self._retried = False
        self._second: list[Draft] = []
        self._superseded: set[int] = set()
        self._invalid: list[InvalidCall] = []

    async def events(self) -> AsyncGenerator[DecideEvent, None]:
        """Raises SwarmError when the worker is lost and no spare can take over."""
        async with aclosing(self._first()) as first:
            async for event in first:
                yield event
        for choice, draft in self._drafts.items():
            if not any(finished.candidate == choice for finished in self._told):
                async with aclosing(self._settle(choice, draft)) as rest:
                    async for event in rest:
                        yield event
        drafts = [*self._drafts.values(), *self._second]
        yield unanimous(
            STRATEGY,
            [draft.vote(self._toolbox) for draft in drafts],
            sum(draft.tokens for draft in drafts),
            self._superseded,
            CallChecks(self._retried, tuple(self._invalid)),
        )
        shown = sum(finished.completion_tokens for finished in self._told)
        reasoning = sum(finished.reasoning_tokens for finished in self._told)
        yield Spoken(0, self._lane.usage_with(shown, reasoning))

    async def _first(self) -> AsyncGenerator[DecideEvent, None]:
        lane = self._lane
        self._begin()
        announced = False
        while lane.open or lane.usage is None:
            arrival = await self._fanout.next(self._pulse.at)
            match arrival:
                case Moved():
                    self._begin()
                case Resumed():
                    for draft in self._drafts.values():
                        draft.worker = lane.worker.name
                case Lost(_, _, error):
                    raise worker_lost(lane.worker.name, error) if announced else error
                case Closed():
                    break
                case Prompted(_, Accepted() as event):
                    if not announced:
                        announced = True
                        yield self._say(0, event)
                case Prompted(_, PrefillProgress() as event):
                    yield self._say(0, event)
                case Piece(_, event):
                    for said in self._piece(event):
                        yield said
                case _:
                    pass  # the usage comes last
            if self._pulse.due:
                self._pulse.sent()
                yield Heartbeat(f"worker {lane.worker.name}")

    def _begin(self) -> None:
        self._drafts = {each: Draft(each, self._lane.worker.name) for each in self._lane.candidates}

    def _piece(self, event: CandidateEvent) -> Iterator[Spoken]:
        draft = self._drafts[event.candidate]
        draft.add(event)
        calling = isinstance(event, ToolCallStarted | ToolCallArguments | ToolCallEnded)
        if (calling or (isinstance(event, CandidateFinished) and draft.calling)) and _may_be_wrong(
            self._lane
        ):
            return
        if not isinstance(event, ReasoningDelta):
            self._fanout.show(event.candidate)
        if isinstance(event, CandidateFinished):
            self._note(event.candidate, faults(draft, self._toolbox))
        yield self._say(event.candidate, event)

    async def _settle(self, choice: int, draft: Draft) -> AsyncGenerator[DecideEvent, None]:
        """The calls that waited, or those of a second answer, and the end of the choice."""
        found = faults(draft, self._toolbox)
        speaker = draft
        if worth_asking(draft, found):
            self._retried = True
            number = len(self._drafts) + len(self._second)
            async with self._again(correction(self._chat, draft, found), number) as fanout:
                second = SecondAnswer(fanout, self._pulse, choice)
                async with aclosing(second.events()) as events:
                    async for event in events:
                        yield event
            self._second.append(second.draft)
            speaker = second.draft if second.draft.whole else draft
            self._superseded.add((draft if speaker is second.draft else second.draft).candidate)
        if speaker is draft:
            assert draft.finished is not None, "a candidate that waits has finished"
            rest: Iterator[CandidateEvent] = iter((*draft.acts(choice), draft.finished))
        else:
            kind = speaker.vote(self._toolbox).kind
            rest = closing(kind, speaker, draft if draft.content else None)
        self._note(choice, faults(speaker, self._toolbox) if speaker.calling else ())
        for said in rest:
            yield self._say(choice, replace(said, candidate=choice))

    def _note(self, choice: int, found: tuple[Fault, ...]) -> None:
        self._invalid += checks(self._retried, found, choice).invalid

    def _say(self, choice: int, event: ChatEvent) -> Spoken:
        self._pulse.sent()
        if isinstance(event, CandidateFinished):
            self._told.append(event)
        return Spoken(choice, event)


def _may_be_wrong(lane: Lane) -> bool:
    return lane.accepted is None or not lane.accepted.constrained

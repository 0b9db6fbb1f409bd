"""One round of voting: the leader's prose goes out as it is made, its tool calls wait for the verdict."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass, replace

from services.common.chat import (
    Accepted,
    ChatEvent,
    ContentDelta,
    PrefillProgress,
    ReasoningDelta,
    TokenLogprobs,
    Usage,
)
from services.common.errors import Reason, SwarmError
from services.consensus.canonical import Toolbox
from services.consensus.drafts import CandidateEvent, Draft
from services.consensus.events import Heartbeat
from services.consensus.fanout import Fanout, worker_lost
from services.consensus.lanes import Arrival, Closed, Lane, Lost, Moved, Piece, Prompted, Resumed
from services.consensus.pulse import Pulse
from services.consensus.strategies.base import Kind, State, Strategy, Verdict, Vote

# A worker that has finished all its candidates owes its usage at once.
_USAGE_PATIENCE = 1.0


@dataclass(frozen=True, slots=True)
class Manner:
    """How a strategy wants its votes taken.

    `shows`: the leader's prose streams; otherwise nothing is shown before the vote has ended, and all is said
    then. `windows`: the workers tell the tokens' log-probabilities. `weigh` gives a worker's weight by its
    name. `early_stop` is the rule's name.
    """

    shows: bool = True
    windows: bool = False
    weigh: Callable[[str], float] = lambda _worker: 1.0
    early_stop: str = "lossless"

    @property
    def compares(self) -> bool:
        """Answers in words are told apart."""
        # Where the leader's prose is shown already, other words are no alternative.
        return not self.shows


TOOL_VOTE = Manner()


class Round:
    """Run `events` to its end, then read the results.

    `verdict` is WON or SPLIT; `votes` has one vote for each voter; `drafts` what they answered; `leader`
    leads; `shown` is the draft whose prose was streamed, if any was.
    """

    def __init__(
        self,
        fanout: Fanout,
        strategy: Strategy,
        toolbox: Toolbox,
        pulse: Pulse,
        round_timeout: float,
        live: bool,
        manner: Manner = TOOL_VOTE,
    ) -> None:
        """`live`: it is the first round, which says that the request is accepted, and streams the leader's
        prose if `manner` does. `round_timeout` bounds the wait for votes after the leader.
        """
        self._fanout = fanout
        self._strategy = strategy
        self._toolbox = toolbox
        self._pulse = pulse
        self._round_timeout = round_timeout
        self._live = live
        self._shows = live and manner.shows
        self._manner = manner
        self._announced = not live
        self._prompt_tokens = 0
        self._polls_close: float | None = None
        self._alone = False
        self._cast: dict[int, Vote] = {}
        self.leader = fanout.offset
        self.drafts = {
            candidate: Draft(candidate, lane.worker.name)
            for lane in fanout.lanes
            for candidate in lane.candidates
        }
        self.shown: Draft | None = None
        self.verdict: Verdict = strategy.decide((), len(self.drafts))

    @property
    def votes(self) -> tuple[Vote, ...]:
        """By candidate. Whoever was stopped, because its vote could change nothing, cast none."""
        return tuple(
            self._cast.get(each) or _lost(draft, "stopped, the vote was decided")
            for each, draft in sorted(self.drafts.items())
        )

    @property
    def leading(self) -> Lane:
        return self._fanout.lane_of(self.leader)

    @property
    def failed(self) -> frozenset[str]:
        """The ids of the workers that did not hold out."""
        return frozenset(lane.worker.id for lane in self._fanout.lanes if lane.lost is not None)

    @property
    def lost_workers(self) -> tuple[str, ...]:
        """The names of those that did not vote, other than because the vote was decided."""
        return tuple(vote.worker for _, vote in sorted(self._cast.items()) if vote.kind is Kind.LOST)

    @property
    def generated(self) -> int:
        return sum(draft.tokens for draft in self.drafts.values())

    def usage(self, completion: int, reasoning: int) -> Usage:
        """The prompt's cost as the leader's worker told it, and these tokens."""
        told = self.leading.usage_with(completion, reasoning)
        # Whoever leads now may not have accepted yet; the prompt that was announced is the same.
        return told if told.prompt_tokens else replace(told, prompt_tokens=self._prompt_tokens)

    async def events(self) -> AsyncGenerator[ChatEvent | Heartbeat, None]:
        """What can be shown at once.

        Raises SwarmError when the leader is lost and nobody can take over: nothing came before it if it
        was lost before it was accepted.
        """
        loop = asyncio.get_running_loop()
        while not self._over():
            if self.verdict.state is not State.OPEN and not self._alone:
                self._alone = True
                await self._fanout.keep_only(self.leader)
            arrival = await self._fanout.next(_earlier(self._pulse.at, self._polls_close))
            if arrival is not None:
                for event in self._take(arrival):
                    self._pulse.sent()
                    yield event
            if self._polls_close is not None and loop.time() >= self._polls_close:
                self._close_polls()
            elif self._pulse.due:
                self._pulse.sent()
                yield Heartbeat(f"votes, {len(self._cast)} of {len(self.drafts)} are in")
        await self._fanout.finish(self.leading, _USAGE_PATIENCE)

    def _over(self) -> bool:
        # The votes of lost workers may settle it before anybody has accepted; the client is still owed that.
        return self.verdict.state is not State.OPEN and self._announced and not self._speaking()

    def _speaking(self) -> bool:
        """The leader is in the middle of prose that the client sees."""
        leader = self.drafts[self.leader]
        return self.shown is leader and leader.finished is None and not leader.calling

    def _take(self, arrival: Arrival) -> Iterator[ChatEvent]:
        match arrival:
            case Prompted(lane, event):
                if self._live and self.leader in lane.candidates:
                    yield from self._announce(lane)
                    if isinstance(event, PrefillProgress):
                        yield event
            case Piece(_, piece):
                yield from self._piece(piece)
            case Moved(lane):
                for candidate in lane.candidates:
                    self.drafts[candidate] = Draft(candidate, lane.worker.name)
            case Resumed(lane):
                for candidate in lane.candidates:
                    self.drafts[candidate].worker = lane.worker.name
            case Lost(_, candidates, error):
                for candidate in candidates:
                    self._vote(_lost(self.drafts[candidate]))
                if self.leader in candidates:
                    yield from self._succeed(error)
            case Closed():
                pass  # its votes are in

    def _piece(self, event: CandidateEvent) -> Iterator[ChatEvent]:
        draft = self.drafts[event.candidate]
        draft.add(event)
        leading = event.candidate == self.leader
        if leading and self._shows and isinstance(event, ContentDelta | ReasoningDelta | TokenLogprobs):
            yield self._spoken(draft, event)
        if draft.finished is not None:
            vote = draft.vote(self._toolbox, self._manner.compares)
            self._vote(replace(vote, weight=self._manner.weigh(vote.worker)))
            if leading:
                self._bound_the_wait()

    def _announce(self, lane: Lane) -> Iterator[Accepted]:
        if not self._announced and lane.accepted is not None:
            self._announced = True
            self._prompt_tokens = lane.accepted.prompt_tokens
            yield lane.accepted

    def _spoken(self, draft: Draft, event: ContentDelta | ReasoningDelta | TokenLogprobs) -> ChatEvent:
        # Reasoning may be followed by another candidate's; prose of which the client has a part may not.
        if not isinstance(event, ReasoningDelta):
            self.shown = draft
            self._fanout.show(draft.candidate)
        return replace(event, candidate=0)

    def _succeed(self, error: SwarmError) -> Iterator[ChatEvent]:
        """Another candidate leads, if the client has seen nothing of the answer and there is one."""
        if self.shown is not None:
            raise worker_lost(self.drafts[self.leader].worker, error)
        heirs = [each for each in sorted(self.drafts) if self._can_lead(each)]
        heirs = heirs if error.reason not in _FINAL or self._announced else []
        if not heirs:
            begun = self._live and self._announced
            raise worker_lost(self.drafts[self.leader].worker, error) if begun else error
        self.leader = heirs[0]
        draft = self.drafts[self.leader]
        if draft.finished is not None:
            self._bound_the_wait()
        if self._live:
            yield from self._announce(self.leading)
        if self._shows:
            for event in draft.said():
                yield self._spoken(draft, event)

    def _can_lead(self, candidate: int) -> bool:
        """It is not lost, nor was it stopped in the middle because the vote was decided."""
        vote = self._cast.get(candidate)
        return not self._alone if vote is None else vote.kind is not Kind.LOST

    def _bound_the_wait(self) -> None:
        self._polls_close = asyncio.get_running_loop().time() + self._round_timeout

    def _vote(self, vote: Vote) -> None:
        self._cast[vote.candidate] = vote
        self.verdict = self._strategy.decide(tuple(self._cast.values()), len(self.drafts))

    def _close_polls(self) -> None:
        for candidate, draft in self.drafts.items():
            if candidate not in self._cast:
                self._vote(_lost(draft))


# The request's own fault, or its end: no other candidate can do better.
_FINAL = frozenset(
    {
        Reason.INVALID_FIELD,
        Reason.UNSUPPORTED_PARAMETER,
        Reason.CONTEXT_LENGTH_EXCEEDED,
        Reason.TEMPLATE_FAILED,
        Reason.DEADLINE_EXCEEDED,
        Reason.PERMISSION_DENIED,
    }
)


def _earlier(one: float | None, other: float | None) -> float | None:
    return min((each for each in (one, other) if each is not None), default=None)


def _lost(draft: Draft, why: str = "lost") -> Vote:
    return Vote(draft.candidate, draft.worker, Kind.LOST, summary=why)

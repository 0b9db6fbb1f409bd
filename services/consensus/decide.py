"""One question from its first event to its last: routed, asked, voted on, answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from services.common.chat import ChatRequest
from services.common.errors import Reason, SwarmError
from services.consensus.canonical import Toolbox
from services.consensus.direct import Direct
from services.consensus.election import Election
from services.consensus.events import DecideEvent, Question
from services.consensus.fanout import Fanout
from services.consensus.plan import Plan, offers_tools, plan
from services.consensus.ports import Directory, Worker
from services.consensus.pulse import Pulse
from services.consensus.routing import Route, Share, route, spread
from services.consensus.strategies.quorum import Quorums
from services.consensus.strategies.tool_vote import ToolVote
from services.consensus.terms import Terms, check_floor

# How long a request waits for a worker that is listed and just being restarted, in seconds.
_GRACE = 10.0
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings that a decision needs; times in seconds."""

    voters: int
    round_timeout: float
    heartbeat: float
    quorums: Quorums = field(default_factory=Quorums)
    terms: Terms = field(default_factory=Terms)


class Decider:
    """Answers questions without running tools; `agent.py` loops over it."""

    def __init__(self, directory: Directory, rules: Rules) -> None:
        self._directory = directory
        self._rules = rules

    async def decide(self, question: Question, deadline: float) -> AsyncGenerator[DecideEvent, None]:
        """Accepted, then what is said, then Ballots and Usage. `deadline` is in the loop's time.

        Raises SwarmError; before the first event for whatever is wrong with the request or the workers.
        """
        planned = plan(question, self._rules.voters)
        floor = question.min_argument_logprob
        check_floor(floor, planned.vote, offers_tools(question.chat))
        terms = replace(self._rules.terms, min_argument_logprob=floor)
        if not planned.vote:
            # Nobody's vote can be refused: who runs the tools has a policy too.
            terms = replace(terms, policy=())
        toolbox = Toolbox(question.chat.tools, terms, question.chat.messages)
        begun = False
        until = min(deadline, asyncio.get_running_loop().time() + _GRACE)
        for attempt in range(1, _ATTEMPTS + 1):
            found = await self._route(question, until)
            chat = replace(question.chat, model=found.model)
            try:
                async with aclosing(self._attempt(chat, planned, found, toolbox, deadline)) as events:
                    async for event in events:
                        begun = True
                        yield event
                return
            except SwarmError as error:
                # Nobody could be reached, so nothing has happened, and those that were tried are known to
                # be away now: ask another, or wait until one is back.
                if begun or error.reason is not Reason.UNAVAILABLE or attempt == _ATTEMPTS:
                    raise

    async def _attempt(
        self, chat: ChatRequest, planned: Plan, found: Route[Worker], toolbox: Toolbox, deadline: float
    ) -> AsyncGenerator[DecideEvent, None]:
        pulse = Pulse(self._rules.heartbeat)
        if planned.vote:
            election = Election(
                chat=chat,
                voters=planned.candidates,
                workers=lambda: route(chat.model, self._directory.workers(), chat.session_id).workers,
                toolbox=toolbox,
                strategy=ToolVote(self._rules.quorums),
                last_strategy=ToolVote(self._rules.quorums, takes_invalid=True),
                pulse=pulse,
                round_timeout=self._rules.round_timeout,
            )
            async with aclosing(election.events(deadline)) as events:
                async for event in events:
                    yield event
            return
        # One worker for all choices: they share the prefill, and where nobody votes more heads gain nothing.
        shares, spares = spread(planned.candidates, found.workers[:1]), found.workers[1:]

        def again(corrected: ChatRequest, number: int) -> Fanout:
            worker = fanout.lanes[0].worker
            others = [each for each in found.workers if each is not worker]
            return Fanout(corrected, [Share(worker, 0, 1)], others, deadline, offset=number)

        async with (
            Fanout(chat, shares, spares, deadline) as fanout,
            aclosing(Direct(chat, fanout, toolbox, pulse, again).events()) as events,
        ):
            async for event in events:
                yield event

    async def _route(self, question: Question, until: float) -> Route[Worker]:
        """Waits for the list if it has not come yet, and for a worker that is listed and away."""
        while True:
            workers = self._directory.workers()
            try:
                return route(question.chat.model, workers, question.chat.session_id)
            except SwarmError as error:
                hopeful = workers or not self._directory.known
                if error.reason is not Reason.NO_WORKER or not hopeful:
                    raise
                if not await self._directory.changed(until):
                    raise

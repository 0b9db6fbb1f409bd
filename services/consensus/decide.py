"""One question from its first event to its last: routed, asked, voted on, answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from services.common.chat import ChatRequest
from services.common.errors import Reason, SwarmError
from services.consensus.canonical import Toolbox
from services.consensus.direct import Direct
from services.consensus.election import Election
from services.consensus.events import DecideEvent, Question
from services.consensus.fanout import Fanout
from services.consensus.plan import Plan, advised, offers_tools, plan
from services.consensus.ports import Directory, Worker
from services.consensus.pulse import Pulse
from services.consensus.routing import Route, Share, route, spread
from services.consensus.strategies.catalogue import LOSSLESS, Entry, build
from services.consensus.strategies.quorum import Quorums
from services.consensus.terms import Terms, check_floor
from services.consensus.voting import Manner

# How long a request waits for a worker that is listed and just being restarted, in seconds.
_GRACE = 10.0
_ATTEMPTS = 3


# The weight of a vote by model id and worker name.
Weigh = Callable[[str, str], float]


def alike(_model: str, _worker: str) -> float:
    """Every vote weighs the same."""
    return 1.0


# The strategy for a model id by the swarm's own evaluation; empty: no vote, None: there is no evaluation.
Advise = Callable[[str], str | None]


def unknown(_model: str) -> str | None:
    """No model has been evaluated."""
    return None


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings that a decision needs; times in seconds. `quorums`: what a call needs to win.

    `weigh`: what a vote counts, by model id and worker name, in log-odds of its accuracy; for a worker of
    which nothing is known, the prior.
    """

    voters: int
    round_timeout: float
    heartbeat: float
    quorums: Quorums = field(default_factory=Quorums)
    terms: Terms = field(default_factory=Terms)
    weigh: Weigh = alike
    advise: Advise = unknown


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
        toolbox = self._toolbox(question, planned)
        begun = False
        until = min(deadline, asyncio.get_running_loop().time() + _GRACE)
        for attempt in range(1, _ATTEMPTS + 1):
            found = await self._route(question, until)
            chat = replace(question.chat, model=found.model)
            settled = advised(planned, self._rules.advise(found.model))
            if settled.vote != planned.vote:
                toolbox = self._toolbox(question, settled)
            try:
                attempt_events = self._attempt(chat, settled, question.early_stop, found, toolbox, deadline)
                async with aclosing(attempt_events) as events:
                    async for event in events:
                        begun = True
                        yield event
                return
            except SwarmError as error:
                # Nobody could be reached, so nothing has happened, and those that were tried are known to
                # be away now: ask another, or wait until one is back.
                if begun or error.reason is not Reason.UNAVAILABLE or attempt == _ATTEMPTS:
                    raise

    def _toolbox(self, question: Question, planned: Plan) -> Toolbox:
        terms = replace(self._rules.terms, min_argument_logprob=question.min_argument_logprob)
        if not planned.vote:
            # Nobody's vote can be refused: who runs the tools has a policy too.
            terms = replace(terms, policy=())
        return Toolbox(question.chat.tools, terms, question.chat.messages)

    def _election(
        self, chat: ChatRequest, planned: Plan, entry: Entry, stop: str, toolbox: Toolbox, pulse: Pulse
    ) -> Election:
        rules = self._rules
        return Election(
            chat=chat,
            voters=planned.candidates,
            workers=lambda: route(chat.model, self._directory.workers(), chat.session_id).workers,
            toolbox=toolbox,
            strategy=build(entry.name, stop, rules.quorums),
            last_strategy=build(entry.name, stop, rules.quorums, takes_invalid=True),
            pulse=pulse,
            round_timeout=rules.round_timeout,
            manner=Manner(
                shows=not entry.sees_all,
                windows=entry.windows,
                weigh=lambda worker: rules.weigh(chat.model, worker),
                early_stop=stop or LOSSLESS,
            ),
        )

    async def _attempt(
        self,
        chat: ChatRequest,
        planned: Plan,
        stop: str,
        found: Route[Worker],
        toolbox: Toolbox,
        deadline: float,
    ) -> AsyncGenerator[DecideEvent, None]:
        pulse = Pulse(self._rules.heartbeat)
        if planned.entry is not None:
            election = self._election(chat, planned, planned.entry, stop, toolbox, pulse)
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

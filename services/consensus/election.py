"""At most two rounds of voting, then one answer: the winner's, or words that say there was no agreement."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import chain

import structlog

from services.common.chat import CandidateFinished, ChatEvent, ChatRequest, TokenLogprobs
from services.common.errors import SwarmError
from services.consensus.ballots import ballots, disagreement
from services.consensus.canonical import Toolbox
from services.consensus.emission import closing, closing_words
from services.consensus.events import CallChecks, DecideEvent, Heartbeat, Spoken
from services.consensus.fanout import Fanout
from services.consensus.ports import Worker
from services.consensus.pulse import Pulse
from services.consensus.routing import spread
from services.consensus.second_chance import checks, correction, faults, worth_asking
from services.consensus.strategies.base import Kind, State, Strategy, Verdict, spokesman
from services.consensus.voting import TOOL_VOTE, Manner, Round

ROUNDS = 2

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Election:
    """`workers` gives those that serve the request's model, the one to lead first, anew for each round.

    `last_strategy` decides the last round, after which nobody is asked again.
    `round_timeout` in seconds bounds the wait for votes once a round's leader has ended. `manner`: how the
    strategies want their votes taken.
    """

    chat: ChatRequest
    voters: int
    workers: Callable[[], Sequence[Worker]]
    toolbox: Toolbox
    strategy: Strategy
    last_strategy: Strategy
    pulse: Pulse
    round_timeout: float
    manner: Manner = TOOL_VOTE

    async def events(self, deadline: float) -> AsyncGenerator[DecideEvent, None]:
        """`deadline` is in the loop's time. Raises SwarmError only out of the first round."""
        held: list[Round] = []
        hindrance = ""
        corrected = False
        while len(held) < ROUNDS and not (held and held[-1].verdict.state is State.WON):
            chat = self._corrected(held[-1]) if held else None
            try:
                async with self._ask(chat or self.chat, held, deadline) as fanout:
                    current = self._round(fanout, held)
                    async with aclosing(current.events()) as events:
                        async for event in events:
                            yield event if isinstance(event, Heartbeat) else Spoken(0, event)
                held.append(current)
                corrected = corrected or chat is not None
            except SwarmError as error:
                if not held:
                    raise
                log.warning("no further round", reason=error.reason, detail=error.message)
                hindrance = error.message
                break

        finished: CandidateFinished | None = None
        for said in self._answer(held, hindrance):
            if isinstance(said, TokenLogprobs) and self.chat.sampling.top_logprobs is None:
                continue  # asked for by the strategy only
            finished = said if isinstance(said, CandidateFinished) else None
            yield Spoken(0, said)
        assert finished is not None, "an answer ends with CandidateFinished"
        yield ballots(
            self.strategy.name,
            held[-1].verdict,
            [vote for each in held for vote in each.votes],
            len(held),
            sum(each.generated for each in held),
            self._checks(held[-1], corrected),
            [worker for each in held for worker in each.lost_workers],
            self.manner.early_stop,
        )
        yield Spoken(0, held[0].usage(finished.completion_tokens, finished.reasoning_tokens))

    def _ask(self, chat: ChatRequest, held: Sequence[Round], deadline: float) -> Fanout:
        sampling = chat.sampling
        if self.manner.windows and sampling.top_logprobs is None:
            chat = replace(chat, sampling=replace(sampling, top_logprobs=0))
        known = self.workers()
        failed = frozenset[str]().union(*(each.failed for each in held))
        workers = [worker for worker in known if worker.id not in failed] or known
        shares = spread(self.voters, workers)
        return Fanout(chat, shares, workers[len(shares) :], deadline, offset=len(held) * self.voters)

    def _round(self, fanout: Fanout, held: Sequence[Round]) -> Round:
        strategy = self.last_strategy if len(held) == ROUNDS - 1 else self.strategy
        live = not held
        return Round(fanout, strategy, self.toolbox, self.pulse, self.round_timeout, live, self.manner)

    def _corrected(self, lost: Round) -> ChatRequest | None:
        """What to ask instead of the same again, if most of the voters made calls that fit no schema."""
        invalid = [vote for vote in lost.votes if vote.kind is Kind.INVALID]
        if 2 * len(invalid) <= self.voters:
            return None
        winners = tuple(vote.candidate for vote in invalid)
        verdict = Verdict(State.SPLIT, 0, Kind.INVALID, winners=winners)
        draft = lost.drafts[spokesman(verdict, lost.votes, lost.leader)]
        found = faults(draft, self.toolbox)
        return correction(self.chat, draft, found) if worth_asking(draft, found) else None

    def _checks(self, last: Round, corrected: bool) -> CallChecks:
        if last.verdict.state is State.WON and last.verdict.kind is Kind.INVALID:
            speaker = spokesman(last.verdict, last.votes, last.leader)
            return checks(corrected, faults(last.drafts[speaker], self.toolbox))
        return CallChecks(corrected)

    def _answer(self, held: Sequence[Round], hindrance: str) -> Iterator[ChatEvent]:
        shown, last = held[0].shown, held[-1]
        if last.verdict.state is State.WON and last.verdict.kind is not None:
            speaker = last.drafts[spokesman(last.verdict, last.votes, last.leader)]
            rest = closing(last.verdict.kind, speaker, shown)
            # What led to an answer that was held back is told before it; else the leader's was told already.
            thought = () if self.manner.shows else speaker.thought()
            return chain(thought, rest)
        votes = [vote for each in held for vote in each.votes]
        return closing_words(disagreement(votes, len(held), last.verdict.quorum, hindrance), shown)

"""Without a vote: every candidate is a choice, and all of it streams through as it comes."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from services.common.chat import Accepted, PrefillProgress, ReasoningDelta
from services.consensus.ballots import unanimous
from services.consensus.canonical import Toolbox
from services.consensus.drafts import Draft
from services.consensus.events import DecideEvent, Heartbeat, Spoken
from services.consensus.fanout import Fanout, worker_lost
from services.consensus.lanes import Closed, Lost, Moved, Piece, Prompted
from services.consensus.pulse import Pulse

STRATEGY = "best_worker"


async def direct(fanout: Fanout, toolbox: Toolbox, pulse: Pulse) -> AsyncGenerator[DecideEvent, None]:
    """Of a fan-out with one lane. Raises SwarmError when its worker is lost and no spare can take over."""
    (lane,) = fanout.lanes
    drafts = {candidate: Draft(candidate, lane.worker.name) for candidate in lane.candidates}
    announced = False
    while lane.open or lane.usage is None:
        arrival = await fanout.next(pulse.at)
        match arrival:
            case None:
                pulse.sent()
                yield Heartbeat(f"worker {lane.worker.name}")
            case Moved():
                drafts = {candidate: Draft(candidate, lane.worker.name) for candidate in lane.candidates}
            case Lost(_, _, error):
                raise worker_lost(lane.worker.name, error) if announced else error
            case Closed():
                break
            case Prompted(_, Accepted() as event):
                if not announced:
                    announced = True
                    pulse.sent()
                    yield Spoken(0, event)
            case Prompted(_, PrefillProgress() as event):
                pulse.sent()
                yield Spoken(0, event)
            case Prompted():
                pass  # the usage comes last, below
            case Piece(_, event):
                drafts[event.candidate].add(event)
                if not isinstance(event, ReasoningDelta):
                    fanout.show(event.candidate)
                pulse.sent()
                yield Spoken(event.candidate, event)
    generated = sum(draft.tokens for draft in drafts.values())
    yield unanimous(STRATEGY, [draft.vote(toolbox) for draft in drafts.values()], generated)
    reasoning = sum(draft.reasoning_tokens for draft in drafts.values())
    yield Spoken(0, lane.usage_with(generated, reasoning))
